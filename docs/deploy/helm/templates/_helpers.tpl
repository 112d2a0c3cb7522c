{{- define "winnow.name" -}}
{{- .Release.Name | trunc 50 | trimSuffix "-" -}}
{{- end -}}

{{- define "winnow.labels" -}}
app.kubernetes.io/name: winnow
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{- end -}}

{{- define "winnow.image" -}}
{{ .Values.image.repository }}:{{ .Values.image.tag | default .Chart.AppVersion }}
{{- end -}}

{{- define "winnow.env" -}}
- name: WINNOW_STORE__URL
  value: {{ if .Values.qdrant.enabled }}{{ printf "http://%s-qdrant:6333" (include "winnow.name" .) | quote }}{{ else }}{{ required "qdrant.url is needed where qdrant.enabled is false" .Values.qdrant.url | quote }}{{ end }}
- name: WINNOW_SERVER__HOST
  value: "0.0.0.0"
{{- with .Values.names }}
- name: WINNOW_SERVER__NAMES
  value: {{ toJson . | quote }}
{{- end }}
{{- range $name, $value := .Values.env }}
- name: {{ $name }}
  value: {{ $value | quote }}
{{- end }}
{{- end -}}
