// What every page does: light and dark, the rank movement, citations, thumbs. All listen on the document, so
// that parts of a page that come later need no beginning of their own.
import "./theme.js";
import "./rank-chart.js";
import "./sources.js";
import "./feedback.js";
