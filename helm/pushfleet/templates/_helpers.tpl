{{/* The beginning of every name. The longest ending is "-delivery-webhook"; a Service's name has 63 characters at most. */}}
{{- define "pushfleet.fullname" -}}
{{- $name := default .Chart.Name .Values.nameOverride -}}
{{- $long := ternary .Release.Name (printf "%s-%s" .Release.Name $name) (contains $name .Release.Name) -}}
{{- default $long .Values.fullnameOverride | trunc 45 | trimSuffix "-" -}}
{{- end }}

{{- define "pushfleet.selector" -}}
app.kubernetes.io/name: {{ default .root.Chart.Name .root.Values.nameOverride }}
app.kubernetes.io/instance: {{ .root.Release.Name }}
{{- with .component }}
app.kubernetes.io/component: {{ . }}
{{- end }}
{{- end }}

{{/* Labels of an object: root, component. */}}
{{- define "pushfleet.labels" -}}
{{ include "pushfleet.selector" . }}
app.kubernetes.io/part-of: pushfleet
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .root.Chart.Name .root.Chart.Version | replace "+" "_" }}
{{- with .root.Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{- define "pushfleet.image" -}}
{{- with .Values.image -}}
{{ .repository }}{{ if .digest }}@{{ .digest }}{{ else }}:{{ default $.Chart.AppVersion .tag }}{{ end }}
{{- end }}
{{- end }}

{{- define "pushfleet.serviceAccount" -}}
{{- $account := .Values.serviceAccount -}}
{{- if $account.create }}{{ default (include "pushfleet.fullname" .) $account.name }}{{ else }}{{ default "default" $account.name }}{{ end }}
{{- end }}

{{/* What the code says of services, by name, with all that the values say: {enabled services: facts, settings}. As JSON. */}}
{{- define "pushfleet.services" -}}
{{- $fleet := .Files.Get "files/fleet.json" | fromJson -}}
{{- $services := dict -}}
{{- range $name, $facts := $fleet.services -}}
{{- $own := index $.Values.services $name | default dict -}}
{{- if $own.enabled -}}
{{- $settings := mergeOverwrite (deepCopy $.Values.defaults) (deepCopy $own) -}}
{{- $files := include "pushfleet.files" (dict "root" $ "facts" $facts "own" $own.files) | fromJson -}}
{{- $facts := include "pushfleet.listeners" (dict "name" $name "facts" $facts "settings" $settings "files" $files) | fromJson -}}
{{- $_ := set $services $name (dict "facts" $facts "settings" $settings "files" $files) -}}
{{- end -}}
{{- end -}}
{{- $services | toJson -}}
{{- end }}

{{/* Variables of one service that come from Secrets and ConfigMaps: those of all that it reads, and its own. */}}
{{- define "pushfleet.files" -}}
{{- $files := dict -}}
{{- range $variable, $source := merge (dict) (default dict .own) .root.Values.files -}}
{{- if and $source (hasKey $.facts.files $variable) }}{{ $_ := set $files $variable $source }}{{ end -}}
{{- end -}}
{{- $files | toJson -}}
{{- end }}

{{/* Whether others reach a listener; MQTT has some that are reached only where the values say so. */}}
{{- define "pushfleet.listeners" -}}
{{- $open := dict -}}
{{- range $listener, $at := .facts.listeners -}}
{{- $reached := true -}}
{{- if $.settings.mqtt -}}
{{- if eq $listener "mqtt" }}{{ $reached = $.settings.mqtt.cleartext }}{{ end -}}
{{- if eq $listener "http" }}{{ $reached = $.settings.mqtt.websocket }}{{ end -}}
{{- if eq $listener "mqtts" }}{{ $reached = hasKey $.files "PUSHFLEET_EDGE_MQTT_TLS_CERT" }}{{ end -}}
{{- end -}}
{{- $_ := set $open $listener (mergeOverwrite (deepCopy $at) (dict "open" $reached)) -}}
{{- end -}}
{{- mergeOverwrite (deepCopy .facts) (dict "listeners" $open) | toJson -}}
{{- end }}

{{/* A value as a variable has it: YAML's numbers would come out as 1e+07. */}}
{{- define "pushfleet.text" -}}
{{- if and (kindIs "float64" .) (eq (floor .) .) }}{{ int64 . }}{{ else }}{{ . }}{{ end -}}
{{- end }}

{{/* The variables of one service as a list for Kubernetes: root, name, facts, settings, files. */}}
{{- define "pushfleet.env" -}}
{{- $root := .root -}}
{{- $env := dict -}}
{{- range $listener, $at := .facts.listeners }}
{{- $_ := set $env $at.variable (printf "%s:%d" (ternary $root.Values.listenHost "127.0.0.1" $at.open) (int $at.port)) -}}
{{- end -}}
{{- include "pushfleet.needs" . -}}
{{- $derived := dict "PUSHFLEET_DRAIN_SECONDS" $root.Values.drainSeconds -}}
{{- if not (hasKey .files "PUSHFLEET_NATS_URL") }}{{ $_ := set $derived "PUSHFLEET_NATS_URL" $root.Values.nats.url }}{{ end -}}
{{- if not (hasKey .files "PUSHFLEET_REDIS_URL") }}{{ $_ := set $derived "PUSHFLEET_REDIS_URL" $root.Values.redis.url }}{{ end -}}
{{- if $root.Values.services.registry.enabled -}}
{{- $scheme := ternary "https" "http" (hasKey .files "PUSHFLEET_INTERNAL_TLS_CA") -}}
{{- $_ := set $derived "PUSHFLEET_REGISTRY_URL" (printf "%s://%s-registry-grpc:50052" $scheme (include "pushfleet.fullname" $root)) -}}
{{- end -}}
{{- if and .settings.grpc .settings.grpc.cleartext (not (hasKey .files "PUSHFLEET_PUBLISH_GRPC_TLS_CERT")) -}}
{{- $_ := set $derived "PUSHFLEET_PUBLISH_GRPC_CLEARTEXT" "true" -}}
{{- end -}}
{{- with .settings.mqtt -}}
{{- if or .cleartext .websocket }}{{ $_ := set $derived "PUSHFLEET_EDGE_MQTT_CLEARTEXT" "true" }}{{ end -}}
{{- end -}}
{{- range $variable, $value := mergeOverwrite $derived (deepCopy $root.Values.env) -}}
{{- $read := or (has $variable $.facts.variables) (not (hasPrefix "PUSHFLEET_" $variable)) -}}
{{- if and $read (not (kindIs "invalid" $value)) }}{{ $_ := set $env $variable $value }}{{ end -}}
{{- end -}}
{{- range $variable, $value := .settings.env -}}
{{- if kindIs "invalid" $value }}{{ $_ := unset $env $variable }}{{ else }}{{ $_ := set $env $variable $value }}{{ end -}}
{{- end -}}
{{- include "pushfleet.envList" (dict "env" $env "files" .files "facts" .facts "who" .name) -}}
{{- range concat $root.Values.extraEnv (default list .settings.extraEnv) }}
{{- /* Of two with one name Kubernetes takes the last: probes and the time to drain would go by the first. */}}
{{- if hasKey $env .name }}{{ fail (printf "%s: %s stands in extraEnv, and is set already; leave one of them." $.name .name) }}{{ end -}}
{{- end -}}
{{- end }}

{{- define "pushfleet.envList" -}}
{{- $env := .env -}}
{{- range $variable, $source := .files -}}
{{- if hasKey $env $variable }}{{ fail (printf "%s: %s stands in env and in files; leave one of them." $.who $variable) }}{{ end -}}
{{- $_ := set $env (index $.facts.files $variable) (printf "/etc/pushfleet/%s" $variable) -}}
{{- end -}}
{{- range $variable, $value := $env }}
- name: {{ $variable }}
  value: {{ include "pushfleet.text" $value | quote }}
{{- end -}}
{{- end }}

{{/* Stops where a service would: what is missing is said before anything is installed. */}}
{{- define "pushfleet.needs" -}}
{{- $root := .root -}}
{{- $values := $root.Values -}}
{{- $env := mergeOverwrite (deepCopy $values.env) (default dict (deepCopy (default dict .settings.env))) -}}
{{- if and (has "PUSHFLEET_REGISTRY_URL" .facts.variables) (hasPrefix "delivery-" .name) -}}
{{- if not (or $values.services.registry.enabled $env.PUSHFLEET_REGISTRY_URL) }}{{ fail (printf "%s needs the registry: enable services.registry, or set env.PUSHFLEET_REGISTRY_URL." .name) }}{{ end -}}
{{- end -}}
{{- if and (eq .name "edge-mqtt") (not (or $values.services.registry.enabled $env.PUSHFLEET_REGISTRY_URL)) -}}
{{- if or .settings.autoscaling.enabled (gt (int .settings.replicas) 1) }}{{ fail "edge-mqtt keeps its sessions in one pod where there is no registry: set services.edge-mqtt.replicas to 1, or enable services.registry." }}{{ end -}}
{{- end -}}
{{- if and (eq .name "delivery-websub") (not $env.PUSHFLEET_PUBLIC_URL) -}}
{{- fail "delivery-websub needs env.PUSHFLEET_PUBLIC_URL, the public address by which subscribers know the hub." -}}
{{- end -}}
{{- if has "PUSHFLEET_TOKEN_ISSUERS" .facts.variables -}}
{{- $keys := or (hasKey .files "PUSHFLEET_TOKEN_SECRET") (hasKey .files "PUSHFLEET_TOKEN_PUBLIC_KEY") (hasKey .files "PUSHFLEET_TOKEN_ISSUERS") $env.PUSHFLEET_TOKEN_JWKS_URL $env.PUSHFLEET_TOKEN_PUBLIC_KEY -}}
{{- if not $keys }}{{ fail (printf "%s could check no token: give files.PUSHFLEET_TOKEN_SECRET, files.PUSHFLEET_TOKEN_PUBLIC_KEY, files.PUSHFLEET_TOKEN_ISSUERS or env.PUSHFLEET_TOKEN_JWKS_URL." .name) }}{{ end -}}
{{- end -}}
{{- $internal := or $values.services.registry.enabled $env.PUSHFLEET_REGISTRY_URL -}}
{{- if and $internal (not (or (hasKey .files "PUSHFLEET_INTERNAL_SECRET") (hasKey .files "PUSHFLEET_TOKEN_SECRET"))) -}}
{{- fail (printf "%s could not prove itself to the registry: give files.PUSHFLEET_INTERNAL_SECRET where there is no files.PUSHFLEET_TOKEN_SECRET." .name) -}}
{{- end -}}
{{- end }}

{{/* The volume of those files. A projected volume follows its sources, which a subPath would not. */}}
{{- define "pushfleet.filesVolume" -}}
- name: files
  projected:
    defaultMode: 0440
    sources:
      {{- range $variable, $source := . }}
      - {{ if $source.secret }}secret{{ else }}configMap{{ end }}:
          name: {{ default $source.configMap $source.secret }}
          items:
            - key: {{ $source.key }}
              path: {{ $variable }}
      {{- end }}
{{- end }}

{{/* Public paths of services that are here, by service. As JSON. */}}
{{- define "pushfleet.routes" -}}
{{- $services := include "pushfleet.services" . | fromJson -}}
{{- $routes := dict -}}
{{- range (.Files.Get "files/routes.json" | fromJson).routes -}}
{{- $service := index $services .service -}}
{{- if and $service (not (has .name $.Values.routes.exclude)) -}}
{{- if $service.facts.listeners.http.open -}}
{{- $_ := set $routes .service (append (default list (index $routes .service)) .) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- $routes | toJson -}}
{{- end }}

{{/* An egress rule: to (empty: anywhere), ports. */}}
{{- define "pushfleet.egress" -}}
- ports:
    {{- range .ports }}
    - { protocol: TCP, port: {{ int . }} }
    {{- end }}
  {{- with .to }}
  to:
    {{- toYaml . | nindent 4 }}
  {{- end }}
{{- end }}
