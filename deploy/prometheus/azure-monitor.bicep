// cachewatch's recording rules and alerts for Azure Monitor managed service for Prometheus.
//
// Made from cachewatch.rules.yml by `CACHEWATCH_BLESS=1 cargo test --test rules`; a test holds that it is current. Deploy with:
//   az deployment group create -g GROUP -f azure-monitor.bicep -p workspaceId=ID pageActionGroups='["ID"]'

@description('Resource id of the Azure Monitor workspace that cachewatch is scraped into.')
param workspaceId string

@description('Where the rule groups live: the region of the workspace.')
param location string = resourceGroup().location

@description('Resource ids of the action groups that are told at any hour.')
param pageActionGroups array = []

@description('Resource ids of the action groups that open a ticket.')
param ticketActionGroups array = []

@description('Resource ids of the action groups that are told what calls nobody.')
param infoActionGroups array = []

@description('Address of the repository of cachewatch, with a slash at its end, to stand before the paths of the runbooks.')
param runbookBase string = ''

var pageActions = [for id in pageActionGroups: { actionGroupId: id }]
var ticketActions = [for id in ticketActionGroups: { actionGroupId: id }]
var infoActions = [for id in infoActionGroups: { actionGroupId: id }]

resource findings 'Microsoft.AlertsManagement/prometheusRuleGroups@2023-03-01' = {
  name: 'cachewatch.findings'
  location: location
  properties: {
    scopes: [workspaceId]
    enabled: true
    interval: 'PT1M'
    rules: [
      {
        record: 'cachewatch:finding_open:stage'
        expression: '''
label_replace(
  label_replace(
    label_replace(
      label_replace(
        label_replace(
          label_replace(
            label_replace(
              cachewatch_finding_open,
              "stage", "resolve", "finding", "dns-.+|config-.+|retirement-near|probe-failed"
            ),
            "stage", "connect", "finding", "tcp-.+|local-exhaustion|monitor-offline|public-path-open|plain-port-open"
          ),
          "stage", "tls", "finding", "tls-.+"
        ),
        "stage", "auth", "finding", "credential-unreadable|auth-required|auth-rejected|auth-not-configured"
      ),
      "stage", "ping", "finding", "redis-.+|auth-not-permitted"
    ),
    "stage", "inspect", "finding", "clients-.+|connections-rejected|clock-skew"
  ),
  "level", "$1", "severity", "(.+)"
)'''
      }
      {
        record: 'cachewatch:finding_open:host_stage'
        expression: '''
(
  cachewatch:finding_open:stage
  * ignoring (finding, severity, level, stage, host, port, product, cloud, tier, isolation) group_left (host)
  topk without (host, port, product, cloud, tier, isolation) (1, cachewatch_cache_info)
)
or ignoring (host)
cachewatch:finding_open:stage'''
      }
      {
        record: 'cachewatch:cause_open:max'
        expression: 'max by (cluster, namespace, job, cache) (cachewatch_finding_open{severity="1"})'
      }
      {
        record: 'cachewatch:certificate_left:seconds'
        expression: '''
min without (position) (last_over_time(cachewatch_tls_certificate_not_after_timestamp_seconds[1h])) - time()
or
max without (finding, severity) (cachewatch_finding_open) * NaN'''
      }
      {
        alert: 'CachewatchDnsPathPublic'
        expression: '''
cachewatch:finding_open:host_stage{
  severity=~"1|2",
  finding=~"dns-drift|dns-zone-not-linked|dns-no-private-endpoint|dns-mixed-answer|dns-unexpected-public"
} == 1'''
        enabled: true
        severity: 1
        labels: {
          severity: 'page'
          tells: 'cause'
        }
        annotations: {
          description: '{{ $labels.host }} leads {{ $labels.instance }} to a public address that is not the expected one. Applications there leave the private network, or reach nothing: level {{ $labels.level }}, where 1 is unavailable and 2 is exposed. The addresses are in cachewatch_dns_address_info. For the causes and what to run: cachewatch explain {{ $labels.finding }}; to look again: cachewatch check {{ $labels.cache }}.'
          runbook_url: '${runbookBase}docs/findings.md#{{ $labels.finding }}'
          summary: '{{ $labels.cache }}: DNS leads to a public address ({{ $labels.finding }})'
        }
        resolveConfiguration: {
          autoResolved: true
          timeToResolve: 'PT5M'
        }
        actions: pageActions
      }
      {
        alert: 'CachewatchDnsRecordMissing'
        expression: 'cachewatch:finding_open:host_stage{severity!="4", finding="dns-record-missing"} == 1'
        enabled: true
        severity: 1
        labels: {
          severity: 'page'
          tells: 'cause'
        }
        annotations: {
          description: '{{ $labels.host }} leads into a privatelink zone that has no record for it, as seen from {{ $labels.instance }}. The endpoint or its zone group is gone; new connections fail everywhere that asks this zone. For what to run: cachewatch explain {{ $labels.finding }}; to look again: cachewatch check {{ $labels.cache }}.'
          runbook_url: '${runbookBase}docs/findings.md#{{ $labels.finding }}'
          summary: '{{ $labels.cache }}: the private zone has no record ({{ $labels.finding }})'
        }
        resolveConfiguration: {
          autoResolved: true
          timeToResolve: 'PT5M'
        }
        actions: pageActions
      }
      {
        alert: 'CachewatchCacheUnreachable'
        expression: '''
cachewatch:finding_open:host_stage{
  severity="1",
  finding!~"dns-drift|dns-zone-not-linked|dns-no-private-endpoint|dns-mixed-answer|dns-unexpected-public|dns-record-missing|dns-resolvers-disagree|tls-expired|tls-expires-soon|clients-headroom-low|connections-rejected|redis-slow|monitor-offline"
} == 1'''
        enabled: true
        severity: 1
        labels: {
          severity: 'page'
          tells: 'cause'
        }
        annotations: {
          description: 'An application beside {{ $labels.instance }} cannot use {{ $labels.cache }} ({{ $labels.host }}): the path breaks at the stage {{ $labels.stage }}, and the cause is {{ $labels.finding }}. For what it means and what to run: cachewatch explain {{ $labels.finding }}; to look again: cachewatch check {{ $labels.cache }}.'
          runbook_url: '${runbookBase}docs/findings.md#{{ $labels.finding }}'
          summary: '{{ $labels.cache }}: unavailable, {{ $labels.finding }} at {{ $labels.stage }}'
        }
        resolveConfiguration: {
          autoResolved: true
          timeToResolve: 'PT5M'
        }
        actions: pageActions
      }
      {
        alert: 'CachewatchCertificateExpired'
        expression: '''
(cachewatch:finding_open:host_stage{severity!="4", finding="tls-expired"} == 1)
* ignoring (finding, severity, level, stage, host) group_left ()
(0 - cachewatch:certificate_left:seconds)'''
        enabled: true
        severity: 1
        labels: {
          severity: 'page'
          tells: 'cause'
        }
        annotations: {
          description: '{{ $labels.host }} presents a certificate that expired {{ $value | humanizeDuration }} ago, and clients that verify it refuse to connect. For what to run: cachewatch explain {{ $labels.finding }}; to look again: cachewatch check {{ $labels.cache }}.'
          runbook_url: '${runbookBase}docs/findings.md#{{ $labels.finding }}'
          summary: '{{ $labels.cache }}: the certificate has expired ({{ $labels.finding }})'
        }
        resolveConfiguration: {
          autoResolved: true
          timeToResolve: 'PT5M'
        }
        actions: pageActions
      }
      {
        alert: 'CachewatchCertificateCritical'
        expression: '''
(cachewatch:finding_open:host_stage{severity=~"1|2", finding="tls-expires-soon"} == 1)
* ignoring (finding, severity, level, stage, host) group_left ()
cachewatch:certificate_left:seconds'''
        enabled: true
        severity: 1
        labels: {
          severity: 'page'
          tells: 'risk'
        }
        annotations: {
          description: 'The certificate of {{ $labels.host }} expires within the critical threshold (7 days, unless configured) and has not been renewed since the ticket about it. When it expires, every verifying client is turned away. For what to run: cachewatch explain {{ $labels.finding }}.'
          runbook_url: '${runbookBase}docs/findings.md#{{ $labels.finding }}'
          summary: '{{ $labels.cache }}: the certificate expires in {{ $value | humanizeDuration }}'
        }
        resolveConfiguration: {
          autoResolved: true
          timeToResolve: 'PT5M'
        }
        actions: pageActions
      }
      {
        alert: 'CachewatchCertificateWarning'
        expression: '''
(cachewatch:finding_open:host_stage{severity="3", finding="tls-expires-soon"} == 1)
* ignoring (finding, severity, level, stage, host) group_left ()
cachewatch:certificate_left:seconds'''
        enabled: true
        severity: 2
        labels: {
          severity: 'ticket'
          tells: 'risk'
        }
        annotations: {
          description: 'The certificate of {{ $labels.host }} expires within the warning threshold (30 days, unless configured). For what to run: cachewatch explain {{ $labels.finding }}.'
          runbook_url: '${runbookBase}docs/findings.md#{{ $labels.finding }}'
          summary: '{{ $labels.cache }}: the certificate expires in {{ $value | humanizeDuration }}'
        }
        resolveConfiguration: {
          autoResolved: true
          timeToResolve: 'PT5M'
        }
        actions: ticketActions
      }
      {
        alert: 'CachewatchDnsResolversDisagree'
        expression: 'cachewatch:finding_open:host_stage{severity!="4", finding="dns-resolvers-disagree"} == 1'
        for: 'PT5M'
        enabled: true
        severity: 2
        labels: {
          severity: 'ticket'
          tells: 'risk'
        }
        annotations: {
          description: 'The resolvers that {{ $labels.instance }} asks for {{ $labels.host }} answer differently: a stale forwarder, or a zone that one of them does not see. Who says what is in cachewatch_dns_address_info. For what to run: cachewatch explain {{ $labels.finding }}.'
          runbook_url: '${runbookBase}docs/findings.md#{{ $labels.finding }}'
          summary: '{{ $labels.cache }}: resolvers lead to different places ({{ $labels.finding }})'
        }
        resolveConfiguration: {
          autoResolved: true
          timeToResolve: 'PT5M'
        }
        actions: ticketActions
      }
      {
        alert: 'CachewatchDnsDrift'
        expression: '''
cachewatch:finding_open:host_stage{
  severity="3",
  finding=~"dns-drift|dns-zone-not-linked|dns-no-private-endpoint|dns-mixed-answer|dns-unexpected-public"
} == 1'''
        for: 'PT5M'
        enabled: true
        severity: 2
        labels: {
          severity: 'ticket'
          tells: 'risk'
        }
        annotations: {
          description: '{{ $labels.host }} leads {{ $labels.instance }} to other addresses than the ones that were accepted, and not from a private to a public one. If the move is right, say so in the configuration (expected_addresses). For what to run: cachewatch explain {{ $labels.finding }}.'
          runbook_url: '${runbookBase}docs/findings.md#{{ $labels.finding }}'
          summary: '{{ $labels.cache }}: DNS leads elsewhere than before ({{ $labels.finding }})'
        }
        resolveConfiguration: {
          autoResolved: true
          timeToResolve: 'PT5M'
        }
        actions: ticketActions
      }
      {
        alert: 'CachewatchCacheDegraded'
        expression: '''
cachewatch:finding_open:host_stage{
  severity="2",
  finding!~"dns-drift|dns-zone-not-linked|dns-no-private-endpoint|dns-mixed-answer|dns-unexpected-public|dns-record-missing|dns-resolvers-disagree|tls-expired|tls-expires-soon|clients-headroom-low|connections-rejected|redis-slow|monitor-offline"
} == 1'''
        for: 'PT5M'
        enabled: true
        severity: 2
        labels: {
          severity: 'ticket'
          tells: 'risk'
        }
        annotations: {
          description: '{{ $labels.host }} serves {{ $labels.instance }}, but not as it should: {{ $labels.finding }}, at the stage {{ $labels.stage }}. For what it means and what to run: cachewatch explain {{ $labels.finding }}.'
          runbook_url: '${runbookBase}docs/findings.md#{{ $labels.finding }}'
          summary: '{{ $labels.cache }}: degraded, {{ $labels.finding }} at {{ $labels.stage }}'
        }
        resolveConfiguration: {
          autoResolved: true
          timeToResolve: 'PT5M'
        }
        actions: ticketActions
      }
      {
        alert: 'CachewatchCacheAtRisk'
        expression: '''
cachewatch:finding_open:host_stage{
  severity="3",
  finding!~"dns-drift|dns-zone-not-linked|dns-no-private-endpoint|dns-mixed-answer|dns-unexpected-public|dns-record-missing|dns-resolvers-disagree|tls-expired|tls-expires-soon|clients-headroom-low|connections-rejected|redis-slow|monitor-offline"
} == 1'''
        for: 'PT15M'
        enabled: true
        severity: 3
        labels: {
          severity: 'info'
          tells: 'risk'
        }
        annotations: {
          description: '{{ $labels.host }} works from {{ $labels.instance }}, and {{ $labels.finding }} may break it one day. For what it means and what to run: cachewatch explain {{ $labels.finding }}.'
          runbook_url: '${runbookBase}docs/findings.md#{{ $labels.finding }}'
          summary: '{{ $labels.cache }}: a risk, {{ $labels.finding }} at {{ $labels.stage }}'
        }
        resolveConfiguration: {
          autoResolved: true
          timeToResolve: 'PT5M'
        }
        actions: infoActions
      }
      {
        alert: 'CachewatchMonitorOffline'
        expression: 'cachewatch:finding_open:host_stage{severity!="4", finding="monitor-offline"} == 1'
        enabled: true
        severity: 1
        labels: {
          severity: 'page'
          tells: 'cause'
        }
        annotations: {
          description: 'Neither the caches nor the control target answer {{ $labels.instance }}: its own network is down. No cache is blamed, and until it is back an outage of {{ $labels.cache }} goes unseen from there. For what to run: cachewatch explain {{ $labels.finding }}.'
          runbook_url: '${runbookBase}docs/findings.md#{{ $labels.finding }}'
          summary: '{{ $labels.instance }} is offline, and nothing is known of {{ $labels.cache }}'
        }
        resolveConfiguration: {
          autoResolved: true
          timeToResolve: 'PT5M'
        }
        actions: pageActions
      }
      {
        alert: 'CachewatchUnexplainedFailure'
        expression: '''
cachewatch_probe_success == 0
unless
max without (finding, severity) (cachewatch_finding_open{severity=~"1|2"}) == 1'''
        for: 'PT10M'
        enabled: true
        severity: 2
        labels: {
          severity: 'ticket'
          tells: 'symptom'
        }
        annotations: {
          description: 'No probe of {{ $labels.cache }} from {{ $labels.instance }} has succeeded for ten minutes, and no finding of level 1 or 2 is open. See the stage and the reason in cachewatch_probe_failures_total, and run: cachewatch check {{ $labels.cache }}.'
          runbook_url: '${runbookBase}deploy/prometheus/README.md#cachewatchunexplainedfailure'
          summary: '{{ $labels.cache }}: probes fail, and no finding says why'
        }
        resolveConfiguration: {
          autoResolved: true
          timeToResolve: 'PT5M'
        }
        actions: ticketActions
      }
    ]
  }
}

resource clients 'Microsoft.AlertsManagement/prometheusRuleGroups@2023-03-01' = {
  name: 'cachewatch.clients'
  location: location
  properties: {
    scopes: [workspaceId]
    enabled: true
    interval: 'PT1M'
    rules: [
      {
        record: 'cachewatch:clients_used:ratio'
        expression: '''
1 - min without (node) (last_over_time(cachewatch_clients_headroom_ratio[1h]))
or
max without (finding, severity) (cachewatch_finding_open) * NaN'''
      }
      {
        record: 'cachewatch:rejected_connections:increase_10m'
        expression: '''
round(sum without (node) (increase(cachewatch_rejected_connections_total[10m])))
or
max without (finding, severity) (cachewatch_finding_open) * NaN'''
      }
      {
        alert: 'CachewatchHeadroomCritical'
        expression: '''
(cachewatch:finding_open:host_stage{severity=~"1|2", finding="clients-headroom-low"} == 1)
* ignoring (finding, severity, level, stage, host) group_left ()
cachewatch:clients_used:ratio'''
        enabled: true
        severity: 1
        labels: {
          severity: 'page'
          tells: 'risk'
        }
        annotations: {
          description: 'The clients of {{ $labels.host }} have passed the critical threshold (90 %, unless configured); {{ $value | humanizePercentage }} of the limit were in use when last counted. At the limit new connections are turned away, and the next deployment or restart is the outage. For what to run: cachewatch explain {{ $labels.finding }}.'
          runbook_url: '${runbookBase}docs/findings.md#{{ $labels.finding }}'
          summary: '{{ $labels.cache }}: {{ $value | humanizePercentage }} of the client limit in use'
        }
        resolveConfiguration: {
          autoResolved: true
          timeToResolve: 'PT5M'
        }
        actions: pageActions
      }
      {
        alert: 'CachewatchHeadroomLow'
        expression: '''
(cachewatch:finding_open:host_stage{severity="3", finding="clients-headroom-low"} == 1)
* ignoring (finding, severity, level, stage, host) group_left ()
cachewatch:clients_used:ratio'''
        for: 'PT5M'
        enabled: true
        severity: 2
        labels: {
          severity: 'ticket'
          tells: 'risk'
        }
        annotations: {
          description: 'The clients of {{ $labels.host }} have passed the warning threshold (75 %, unless configured); {{ $value | humanizePercentage }} of the limit were in use when last counted. For what to run: cachewatch explain {{ $labels.finding }}.'
          runbook_url: '${runbookBase}docs/findings.md#{{ $labels.finding }}'
          summary: '{{ $labels.cache }}: {{ $value | humanizePercentage }} of the client limit in use'
        }
        resolveConfiguration: {
          autoResolved: true
          timeToResolve: 'PT5M'
        }
        actions: ticketActions
      }
      {
        alert: 'CachewatchExhaustionNear'
        expression: 'min without (node) (cachewatch_clients_exhaustion_seconds) < 3600'
        for: 'PT10M'
        enabled: true
        severity: 1
        labels: {
          severity: 'page'
          tells: 'risk'
        }
        annotations: {
          description: 'The number of clients of {{ $labels.cache }} has risen steadily for ten minutes, and at this rate the limit is reached in {{ $value | humanizeDuration }}. Then new connections are turned away. Look for a leak of connections or a deployment that adds pools. For what to run: cachewatch explain clients-headroom-low.'
          runbook_url: '${runbookBase}docs/findings.md#clients-headroom-low'
          summary: '{{ $labels.cache }}: the client limit is reached in {{ $value | humanizeDuration }}'
        }
        resolveConfiguration: {
          autoResolved: true
          timeToResolve: 'PT5M'
        }
        actions: pageActions
      }
      {
        alert: 'CachewatchExhaustionForecast'
        expression: 'min without (node) (cachewatch_clients_exhaustion_seconds) < 86400'
        for: 'PT30M'
        enabled: true
        severity: 2
        labels: {
          severity: 'ticket'
          tells: 'risk'
        }
        annotations: {
          description: 'The number of clients of {{ $labels.cache }} has risen steadily for half an hour, and at this rate the limit is reached in {{ $value | humanizeDuration }}. For what to run: cachewatch explain clients-headroom-low.'
          runbook_url: '${runbookBase}docs/findings.md#clients-headroom-low'
          summary: '{{ $labels.cache }}: the client limit is reached in {{ $value | humanizeDuration }}'
        }
        resolveConfiguration: {
          autoResolved: true
          timeToResolve: 'PT5M'
        }
        actions: ticketActions
      }
      {
        alert: 'CachewatchConnectionsRejected'
        expression: '''
(cachewatch:finding_open:host_stage{severity!="4", finding="connections-rejected"} == 1)
* ignoring (finding, severity, level, stage, host) group_left ()
cachewatch:rejected_connections:increase_10m'''
        enabled: true
        severity: 1
        labels: {
          severity: 'page'
          tells: 'risk'
        }
        annotations: {
          description: '{{ $labels.host }} goes on rejecting connections, about {{ $value | humanize }} in ten minutes: the client limit is hit between the probes. For what to run: cachewatch explain {{ $labels.finding }}.'
          runbook_url: '${runbookBase}docs/findings.md#{{ $labels.finding }}'
          summary: '{{ $labels.cache }}: the server turns connections away'
        }
        resolveConfiguration: {
          autoResolved: true
          timeToResolve: 'PT5M'
        }
        actions: pageActions
      }
      {
        alert: 'CachewatchConnectionsRejectedBurst'
        expression: '''
(
  cachewatch:rejected_connections:increase_10m > 0
  and
  sum without (node) (resets(cachewatch_rejected_connections_total[10m])) == 0
)
unless
max without (finding, severity) (max_over_time(cachewatch_finding_open{finding="connections-rejected"}[15m])) == 1'''
        enabled: true
        severity: 2
        labels: {
          severity: 'ticket'
          tells: 'risk'
        }
        annotations: {
          description: 'The server of {{ $labels.cache }} rejected about {{ $value | humanize }} connections in the last ten minutes: the client limit was hit for a moment. For what to run: cachewatch explain connections-rejected.'
          runbook_url: '${runbookBase}docs/findings.md#connections-rejected'
          summary: '{{ $labels.cache }}: the server turned connections away'
        }
        resolveConfiguration: {
          autoResolved: true
          timeToResolve: 'PT5M'
        }
        actions: ticketActions
      }
    ]
  }
}

resource latency 'Microsoft.AlertsManagement/prometheusRuleGroups@2023-03-01' = {
  name: 'cachewatch.latency'
  location: location
  properties: {
    scopes: [workspaceId]
    enabled: true
    interval: 'PT1M'
    rules: [
      {
        record: 'cachewatch:stage_duration_seconds:p50_1h'
        expression: '''
histogram_quantile(0.50,
  sum by (cluster, namespace, job, cache, stage, le) (rate(cachewatch_stage_duration_seconds_bucket[1h])))'''
      }
      {
        record: 'cachewatch:stage_duration_seconds:p99_1h'
        expression: '''
histogram_quantile(0.99,
  sum by (cluster, namespace, job, cache, stage, le) (rate(cachewatch_stage_duration_seconds_bucket[1h])))'''
      }
      {
        alert: 'CachewatchLatencyHigh'
        expression: '''
(
  cachewatch:stage_duration_seconds:p99_1h{stage="ping"} > 0.1
  or
  cachewatch:stage_duration_seconds:p99_1h{stage=~"resolve|connect|tls|auth"} > 1
)
unless ignoring (stage)
max_over_time(cachewatch:cause_open:max[65m]) == 1'''
        for: 'PT10M'
        enabled: true
        severity: 2
        labels: {
          severity: 'ticket'
          tells: 'symptom'
        }
        annotations: {
          description: 'Over the last hour one in a hundred took {{ $value | humanizeDuration }} or longer at the stage {{ $labels.stage }} of {{ $labels.cache }}, and the cache was not unavailable. The limits are 100 ms for ping and 1 s for the other stages. To see each stage: cachewatch check {{ $labels.cache }}.'
          runbook_url: '${runbookBase}deploy/prometheus/README.md#cachewatchlatencyhigh'
          summary: '{{ $labels.cache }}: the stage {{ $labels.stage }} is slow, p99 {{ $value | humanizeDuration }}'
        }
        resolveConfiguration: {
          autoResolved: true
          timeToResolve: 'PT5M'
        }
        actions: ticketActions
      }
      {
        alert: 'CachewatchRedisSlow'
        expression: 'cachewatch:finding_open:host_stage{severity!="4", finding="redis-slow"} == 1'
        for: 'PT10M'
        enabled: true
        severity: 2
        labels: {
          severity: 'ticket'
          tells: 'symptom'
        }
        annotations: {
          description: 'PING of {{ $labels.host }} has taken longer than its threshold (100 ms, unless configured) for ten minutes. For what to run: cachewatch explain {{ $labels.finding }}.'
          runbook_url: '${runbookBase}docs/findings.md#{{ $labels.finding }}'
          summary: '{{ $labels.cache }}: PING is slow ({{ $labels.finding }})'
        }
        resolveConfiguration: {
          autoResolved: true
          timeToResolve: 'PT5M'
        }
        actions: ticketActions
      }
    ]
  }
}

resource objective 'Microsoft.AlertsManagement/prometheusRuleGroups@2023-03-01' = {
  name: 'cachewatch.objective'
  location: location
  properties: {
    scopes: [workspaceId]
    enabled: true
    interval: 'PT1M'
    rules: [
      {
        record: 'cachewatch:objective:ratio'
        expression: 'vector(0.999)'
      }
      {
        record: 'cachewatch:probe_success:ratio_5m'
        expression: '''
sum by (cluster, namespace, job, cache) (sum_over_time(cachewatch_probe_success[5m]))
/
sum by (cluster, namespace, job, cache) (count_over_time(cachewatch_probe_success[5m]))'''
      }
      {
        record: 'cachewatch:probe_success:ratio_30m'
        expression: '''
sum by (cluster, namespace, job, cache) (sum_over_time(cachewatch_probe_success[30m]))
/
sum by (cluster, namespace, job, cache) (count_over_time(cachewatch_probe_success[30m]))'''
      }
      {
        record: 'cachewatch:probe_success:ratio_1h'
        expression: '''
sum by (cluster, namespace, job, cache) (sum_over_time(cachewatch_probe_success[1h]))
/
sum by (cluster, namespace, job, cache) (count_over_time(cachewatch_probe_success[1h]))'''
      }
      {
        record: 'cachewatch:probe_success:ratio_2h'
        expression: '''
sum by (cluster, namespace, job, cache) (sum_over_time(cachewatch_probe_success[2h]))
/
sum by (cluster, namespace, job, cache) (count_over_time(cachewatch_probe_success[2h]))'''
      }
      {
        record: 'cachewatch:probe_success:ratio_6h'
        expression: '''
sum by (cluster, namespace, job, cache) (sum_over_time(cachewatch_probe_success[6h]))
/
sum by (cluster, namespace, job, cache) (count_over_time(cachewatch_probe_success[6h]))'''
      }
      {
        record: 'cachewatch:probe_success:ratio_1d'
        expression: '''
sum by (cluster, namespace, job, cache) (sum_over_time(cachewatch_probe_success[1d]))
/
sum by (cluster, namespace, job, cache) (count_over_time(cachewatch_probe_success[1d]))'''
      }
      {
        record: 'cachewatch:probe_success:ratio_3d'
        expression: '''
sum by (cluster, namespace, job, cache) (sum_over_time(cachewatch_probe_success[3d]))
/
sum by (cluster, namespace, job, cache) (count_over_time(cachewatch_probe_success[3d]))'''
      }
      {
        record: 'cachewatch:probe_success:ratio_30d'
        expression: 'avg_over_time(cachewatch:probe_success:ratio_1h[30d:1h])'
      }
      {
        record: 'cachewatch:error_budget_remaining:ratio_30d'
        expression: '1 - (1 - cachewatch:probe_success:ratio_30d) / (1 - scalar(max(cachewatch:objective:ratio)))'
      }
      {
        alert: 'CachewatchBudgetBurn1h'
        expression: '''
(
  1 - cachewatch:probe_success:ratio_1h > 14.4 * (1 - scalar(max(cachewatch:objective:ratio)))
  and
  1 - cachewatch:probe_success:ratio_5m > 14.4 * (1 - scalar(max(cachewatch:objective:ratio)))
  and
  cachewatch:probe_success:ratio_1h offset 1h
)
unless
max_over_time(cachewatch:cause_open:max[10m]) == 1'''
        for: 'PT2M'
        enabled: true
        severity: 1
        labels: {
          severity: 'page'
          tells: 'symptom'
        }
        annotations: {
          description: '{{ $value | humanizePercentage }} of the probes of {{ $labels.cache }} failed within the hour, and they still do, without a cause that stays open. At this rate the error budget of 30 days is spent in two days. See the stage and the reason in cachewatch_probe_failures_total, and run: cachewatch check {{ $labels.cache }}.'
          runbook_url: '${runbookBase}deploy/prometheus/README.md#the-objective'
          summary: '{{ $labels.cache }}: {{ $value | humanizePercentage }} of probes failed in an hour'
        }
        resolveConfiguration: {
          autoResolved: true
          timeToResolve: 'PT5M'
        }
        actions: pageActions
      }
      {
        alert: 'CachewatchBudgetBurn6h'
        expression: '''
(
  1 - cachewatch:probe_success:ratio_6h > 6 * (1 - scalar(max(cachewatch:objective:ratio)))
  and
  1 - cachewatch:probe_success:ratio_30m > 6 * (1 - scalar(max(cachewatch:objective:ratio)))
  and
  cachewatch:probe_success:ratio_6h offset 6h
)
unless
max_over_time(cachewatch:cause_open:max[35m]) == 1'''
        for: 'PT2M'
        enabled: true
        severity: 1
        labels: {
          severity: 'page'
          tells: 'symptom'
        }
        annotations: {
          description: '{{ $value | humanizePercentage }} of the probes of {{ $labels.cache }} failed within six hours, and they still do, without a cause that stays open. At this rate the error budget of 30 days is spent in five days. See the stage and the reason in cachewatch_probe_failures_total, and run: cachewatch check {{ $labels.cache }}.'
          runbook_url: '${runbookBase}deploy/prometheus/README.md#the-objective'
          summary: '{{ $labels.cache }}: {{ $value | humanizePercentage }} of probes failed in six hours'
        }
        resolveConfiguration: {
          autoResolved: true
          timeToResolve: 'PT5M'
        }
        actions: pageActions
      }
      {
        alert: 'CachewatchBudgetBurn1d'
        expression: '''
1 - cachewatch:probe_success:ratio_1d > 3 * (1 - scalar(max(cachewatch:objective:ratio)))
and
1 - cachewatch:probe_success:ratio_2h > 3 * (1 - scalar(max(cachewatch:objective:ratio)))
and
cachewatch:probe_success:ratio_1d offset 1d'''
        for: 'PT15M'
        enabled: true
        severity: 2
        labels: {
          severity: 'ticket'
          tells: 'symptom'
        }
        annotations: {
          description: '{{ $value | humanizePercentage }} of the probes of {{ $labels.cache }} failed within a day, and some within the last two hours. At this rate the error budget of 30 days is spent in ten days. What happened: cachewatch_findings_total and cachewatch_probe_failures_total.'
          runbook_url: '${runbookBase}deploy/prometheus/README.md#the-objective'
          summary: '{{ $labels.cache }}: {{ $value | humanizePercentage }} of probes failed in a day'
        }
        resolveConfiguration: {
          autoResolved: true
          timeToResolve: 'PT5M'
        }
        actions: ticketActions
      }
      {
        alert: 'CachewatchBudgetBurn3d'
        expression: '''
1 - cachewatch:probe_success:ratio_3d > 1 * (1 - scalar(max(cachewatch:objective:ratio)))
and
1 - cachewatch:probe_success:ratio_6h > 1 * (1 - scalar(max(cachewatch:objective:ratio)))
and
cachewatch:probe_success:ratio_3d offset 3d'''
        for: 'PT1H'
        enabled: true
        severity: 2
        labels: {
          severity: 'ticket'
          tells: 'symptom'
        }
        annotations: {
          description: '{{ $value | humanizePercentage }} of the probes of {{ $labels.cache }} failed within three days, and some within the last six hours. If it goes on, the objective of 30 days is missed. What happened: cachewatch_findings_total and cachewatch_probe_failures_total.'
          runbook_url: '${runbookBase}deploy/prometheus/README.md#the-objective'
          summary: '{{ $labels.cache }}: {{ $value | humanizePercentage }} of probes failed in three days'
        }
        resolveConfiguration: {
          autoResolved: true
          timeToResolve: 'PT5M'
        }
        actions: ticketActions
      }
    ]
  }
}

resource monitor 'Microsoft.AlertsManagement/prometheusRuleGroups@2023-03-01' = {
  name: 'cachewatch.monitor'
  location: location
  properties: {
    scopes: [workspaceId]
    enabled: true
    interval: 'PT1M'
    rules: [
      {
        alert: 'CachewatchDown'
        expression: 'up == 0 and ignoring (version, revision) last_over_time(cachewatch_build_info[1d])'
        for: 'PT5M'
        enabled: true
        severity: 1
        labels: {
          severity: 'page'
          tells: 'monitor'
        }
        annotations: {
          description: 'Prometheus has not been able to scrape cachewatch at {{ $labels.instance }} ({{ $labels.job }}) for five minutes. From there nobody watches: every other alert of it is silent, and silence is not health.'
          runbook_url: '${runbookBase}deploy/prometheus/README.md#cachewatchdown'
          summary: 'cachewatch at {{ $labels.instance }} does not answer'
        }
        resolveConfiguration: {
          autoResolved: true
          timeToResolve: 'PT5M'
        }
        actions: pageActions
      }
      {
        alert: 'CachewatchAbsent'
        expression: '''
absent(cachewatch_build_info)
unless on ()
(up == 0 and ignoring (version, revision) last_over_time(cachewatch_build_info[1d]))'''
        for: 'PT15M'
        enabled: true
        severity: 1
        labels: {
          severity: 'page'
          tells: 'monitor'
        }
        annotations: {
          description: 'This Prometheus knows no cachewatch: its target was removed, its scrape configuration was lost, or it was never deployed. No other alert can fire.'
          runbook_url: '${runbookBase}deploy/prometheus/README.md#cachewatchabsent'
          summary: 'No cachewatch is scraped at all'
        }
        resolveConfiguration: {
          autoResolved: true
          timeToResolve: 'PT5M'
        }
        actions: pageActions
      }
      {
        alert: 'CachewatchWatchesNothing'
        expression: 'cachewatch_config_caches == 0'
        for: 'PT10M'
        enabled: true
        severity: 2
        labels: {
          severity: 'ticket'
          tells: 'monitor'
        }
        annotations: {
          description: 'The configuration in use at {{ $labels.instance }} names no cache. To see what it reads: cachewatch config show.'
          runbook_url: '${runbookBase}deploy/prometheus/README.md#cachewatchwatchesnothing'
          summary: 'cachewatch at {{ $labels.instance }} watches no cache'
        }
        resolveConfiguration: {
          autoResolved: true
          timeToResolve: 'PT5M'
        }
        actions: ticketActions
      }
      {
        alert: 'CachewatchProbesStopped'
        expression: '''
time() - cachewatch_last_probe_timestamp_seconds > 600
or
(
  max without (host, port, product, cloud, tier, isolation) (cachewatch_cache_info)
  unless
  cachewatch_last_probe_timestamp_seconds
)'''
        for: 'PT5M'
        enabled: true
        severity: 1
        labels: {
          severity: 'page'
          tells: 'monitor'
        }
        annotations: {
          description: 'cachewatch at {{ $labels.instance }} answers, and has not probed {{ $labels.cache }} for more than ten minutes, or never. What its other metrics say of this cache is old. See its log, and /livez; restart it.'
          runbook_url: '${runbookBase}deploy/prometheus/README.md#cachewatchprobesstopped'
          summary: '{{ $labels.cache }}: no probe for more than ten minutes'
        }
        resolveConfiguration: {
          autoResolved: true
          timeToResolve: 'PT5M'
        }
        actions: pageActions
      }
      {
        alert: 'CachewatchStandsStill'
        expression: 'cachewatch_loop_up == 0'
        for: 'PT1M'
        enabled: true
        severity: 1
        labels: {
          severity: 'page'
          tells: 'monitor'
        }
        annotations: {
          description: 'The {{ $labels.loop }} loop of cachewatch at {{ $labels.instance }} has not turned for 15 seconds or more. Where it is schedule or dispatch, nothing is watched there now. See /livez and its log; restart it. Where it is journal or reload, a disk may hang: watching goes on, and what happens is not kept.'
          runbook_url: '${runbookBase}deploy/prometheus/README.md#cachewatchstandsstill'
          summary: 'cachewatch at {{ $labels.instance }}: its {{ $labels.loop }} loop stands still'
        }
        resolveConfiguration: {
          autoResolved: true
          timeToResolve: 'PT5M'
        }
        actions: pageActions
      }
      {
        alert: 'CachewatchProbesLate'
        expression: 'histogram_quantile(0.99, rate(cachewatch_probe_lateness_seconds_bucket[30m])) > 3'
        for: 'PT15M'
        enabled: true
        severity: 2
        labels: {
          severity: 'ticket'
          tells: 'monitor'
        }
        annotations: {
          description: 'One probe in a hundred starts {{ $value | humanizeDuration }} or more after its time. The machine is too small, or probe.max_in_flight is, for as many caches as are slow at once.'
          runbook_url: '${runbookBase}deploy/prometheus/README.md#cachewatchprobeslate'
          summary: 'cachewatch at {{ $labels.instance }} probes late, p99 {{ $value | humanizeDuration }}'
        }
        resolveConfiguration: {
          autoResolved: true
          timeToResolve: 'PT5M'
        }
        actions: ticketActions
      }
      {
        alert: 'CachewatchConfigReloadFailed'
        expression: 'cachewatch_config_last_reload_successful == 0'
        for: 'PT5M'
        enabled: true
        severity: 2
        labels: {
          severity: 'ticket'
          tells: 'monitor'
        }
        annotations: {
          description: 'The last attempt to read the configuration at {{ $labels.instance }} failed, and the one before stays in use: what was changed is not watched. Every problem, with file and line: cachewatch config check.'
          runbook_url: '${runbookBase}deploy/prometheus/README.md#cachewatchconfigreloadfailed'
          summary: 'cachewatch at {{ $labels.instance }} refused its new configuration'
        }
        resolveConfiguration: {
          autoResolved: true
          timeToResolve: 'PT5M'
        }
        actions: ticketActions
      }
      {
        alert: 'CachewatchSinkFailing'
        expression: 'round(increase(cachewatch_sink_failures_total[15m])) > 0'
        enabled: true
        severity: 2
        labels: {
          severity: 'ticket'
          tells: 'monitor'
        }
        annotations: {
          description: 'About {{ $value | humanize }} writes to the {{ $labels.sink }} failed within fifteen minutes at {{ $labels.instance }}. Watching goes on; what was to be written there is missing. The reason is in the log.'
          runbook_url: '${runbookBase}deploy/prometheus/README.md#cachewatchsinkfailing'
          summary: 'cachewatch at {{ $labels.instance }} fails to write to the {{ $labels.sink }}'
        }
        resolveConfiguration: {
          autoResolved: true
          timeToResolve: 'PT5M'
        }
        actions: ticketActions
      }
      {
        alert: 'CachewatchJournalDown'
        expression: 'cachewatch_journal_up == 0'
        for: 'PT5M'
        enabled: true
        severity: 2
        labels: {
          severity: 'ticket'
          tells: 'monitor'
        }
        annotations: {
          description: 'The journal at {{ $labels.instance }} cannot be written. Watching goes on; events of this time, and what must be remembered over a restart, are lost. The reason is in the log.'
          runbook_url: '${runbookBase}deploy/prometheus/README.md#cachewatchjournaldown'
          summary: 'cachewatch at {{ $labels.instance }} keeps no journal'
        }
        resolveConfiguration: {
          autoResolved: true
          timeToResolve: 'PT5M'
        }
        actions: ticketActions
      }
      {
        alert: 'CachewatchProbePanicked'
        expression: 'round(increase(cachewatch_probe_panics_total[1h])) > 0'
        enabled: true
        severity: 2
        labels: {
          severity: 'ticket'
          tells: 'monitor'
        }
        annotations: {
          description: 'About {{ $value | humanize }} probes broke within the hour for a defect of cachewatch. The caches go on being watched. Report it with the lines of the log around it.'
          runbook_url: '${runbookBase}deploy/prometheus/README.md#cachewatchprobepanicked'
          summary: 'cachewatch at {{ $labels.instance }} has a defect: a probe panicked'
        }
        resolveConfiguration: {
          autoResolved: true
          timeToResolve: 'PT5M'
        }
        actions: ticketActions
      }
      {
        alert: 'CachewatchUnrecognisedError'
        expression: 'round(increase(cachewatch_unrecognised_errors_total[1h])) > 0'
        enabled: true
        severity: 3
        labels: {
          severity: 'info'
          tells: 'monitor'
        }
        annotations: {
          description: 'About {{ $value | humanize }} errors within the hour are of a kind that cachewatch does not know. Their text is in its log and in the API. Report it, and the next version has a finding for it.'
          runbook_url: '${runbookBase}deploy/prometheus/README.md#cachewatchunrecognisederror'
          summary: 'cachewatch at {{ $labels.instance }} met an error it has no word for'
        }
        resolveConfiguration: {
          autoResolved: true
          timeToResolve: 'PT5M'
        }
        actions: infoActions
      }
    ]
  }
}
