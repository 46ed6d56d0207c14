{{/* The name of everything in a release. */}}
{{- define "cachewatch.name" -}}
{{- if contains .Chart.Name .Release.Name -}}
{{- .Release.Name | trunc 63 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name .Chart.Name | trunc 63 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{- define "cachewatch.selector" -}}
app.kubernetes.io/name: cachewatch
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "cachewatch.labels" -}}
{{ include "cachewatch.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- end -}}

{{- define "cachewatch.image" -}}
{{- if .Values.image.digest -}}
{{ .Values.image.repository }}@{{ .Values.image.digest }}
{{- else -}}
{{ .Values.image.repository }}:{{ .Values.image.tag | default .Chart.AppVersion }}
{{- end -}}
{{- end -}}

{{/* Whence the monitors of a release ask, as peers of a NetworkPolicy. */}}
{{- define "cachewatch.scrapers" -}}
{{- $namespaces := list -}}
{{- range list .Values.podMonitor .Values.serviceMonitor -}}
{{- if .enabled -}}
{{- $namespaces = append $namespaces (ternary "kube-system" "monitoring" (hasPrefix "azmonitoring" .apiVersion)) -}}
{{- end -}}
{{- end -}}
{{- range $namespaces | default (list "monitoring") | uniq }}
- namespaceSelector:
    matchLabels:
      kubernetes.io/metadata.name: {{ . }}
{{- end }}
{{- end -}}
