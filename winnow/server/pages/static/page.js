// Loaded by every page: theme switch, rank chart, citations, thumbs. All listen on the document, so that parts
// inserted later need no setup.
import "./theme.js";
import "./rank-chart.js";
import "./sources.js";
import "./feedback.js";
