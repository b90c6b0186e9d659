// The capacity model: what a rate of events takes of each part of the stack and costs. Estimates, from named inputs only.

/** Name → value and where it comes from. Prices: list prices of us-east-1, November 2026, in USD. */
export const inputs = {
  http_usd_per_million: [1, 'HTTP API, first 300 million a month'],
  lambda_usd_per_million: [0.2, 'Lambda requests'],
  lambda_usd_per_gb_s: [0.0000133334, 'Lambda on arm64'],
  data_api_usd_per_million: [0.35, 'RDS Data API, each 32 KB of a call'],
  write_usd_per_million: [0.625, 'DynamoDB on demand, writes of 1 KB'],
  sqs_usd_per_million: [0.4, 'SQS standard requests'],
  log_usd_per_gb: [0.5, 'CloudWatch Logs ingestion'],
  acu_usd_per_hour: [0.12, 'Aurora Serverless v2, standard storage'],
  io_usd_per_million: [0.2, 'Aurora I/O, standard storage'],
  storage_usd_per_gb_month: [0.1, 'Aurora storage, standard'],
  optimized_acu_usd_per_hour: [0.156, 'Aurora I/O-Optimized: compute + 30 %, no charge for I/O'],
  optimized_storage_usd_per_gb_month: [0.225, 'Aurora I/O-Optimized storage'],
  proxy_usd_per_acu_hour: [0.015, 'RDS Proxy'],
  proxy_acu_min: [8, 'RDS Proxy charges at least for so many'],
  endpoint_usd_per_hour: [0.01, 'interface endpoint in one zone (not checked)'],
  endpoints: [4, 'two services in two zones: infra/proxy.ts'],
  ingest_gb: [1, 'memory of ingest in prod: infra/config.ts'],
  deliver_gb: [0.5, 'memory of deliver: infra/config.ts'],
  call_ms: [59, 'time of an ingest call in AWS without its events: assumed, measure it'],
  call_ms_per_event: [0.91, 'and for each event: assumed, measure it'],
  direct_saves_ms: [15, 'what a call gains without the Data API: assumed, measure it'],
  database_ms: [1.313, 'processor time of a call in Aurora without its events: assumed'],
  database_ms_per_event: [0.187, 'and for each event; half to a tenth of what bench/results says'],
  io: [2.525, 'Aurora I/O of a call without its events: assumed'],
  io_per_event: [1.475, 'and for each event, delivery included: assumed'],
  bytes_per_event: [500, 'of a request to the Data API: assumed'],
  stored_bytes_per_event: [600, 'ledger row 230 (bench/results/ingest-sql.md), delivered event the rest'],
  log_bytes: [2_000, 'of a call: one line of the function and one of the access log'],
  log_bytes_per_event: [10, 'assumed'],
  writes: [2, 'DynamoDB writes of a call: rate limit and counter (test/http/calls.test.ts)'],
  messages_per_delivery: [10, 'SQS batch of deliver: infra/kernel-stack.ts'],
  deliver_ms: [100, 'time of a delivery: assumed'],
  vcpu_per_acu: [0.25, '8 ACU have the memory of an instance with 2 vCPU'],
  utilization: [0.6, 'of the processors, so that peaks find room'],
  instances: [2, 'writer, and the reader that scales with it'],
  acu_min: [1, 'prod: infra/config.ts'],
  acu_max: [256, 'of one writer'],
  lambda_concurrency: [1_000, 'default quota of an account'],
  http_rate: [10_000, 'default quota of requests a second of an account and region (not checked)'],
  site_commits_s: [
    200,
    'one site commits one call after the other: 200 to 500 a second by the commit latency of Aurora',
  ],
  storage_tb_max: [128, 'of one Aurora cluster'],
} as const satisfies Record<string, readonly [number, string]>;

type Values = Record<keyof typeof inputs, number>;
const v = Object.fromEntries(Object.entries(inputs).map(([name, [value]]) => [name, value])) as Values;

const month_s = 730 * 3_600;
const in_millions = (a_second: number): number => (a_second * month_s) / 1_000_000;

export type Access = 'data-api' | 'proxy';
export interface Load {
  /** Events a second, every second of the month. */
  events: number;
  /** Events of one call. */
  batch: number;
  access: Access;
}

export interface Capacity {
  calls_s: number;
  ingest_instances: number;
  deliver_instances: number;
  acus: number;
  ios_s: number;
  writes_s: number;
  sqs_s: number;
  data_api_s: number;
  stored_gb_month: number;
  /** By item, a month. */
  usd: Record<string, number>;
  usd_month: number;
  usd_per_million: number;
  io_optimized: boolean;
}

export function capacity({ events, batch, access }: Load): Capacity {
  const calls_s = events / batch;
  const deliveries_s = calls_s / v.messages_per_delivery;
  const call_s =
    (v.call_ms + v.call_ms_per_event * batch - (access === 'proxy' ? v.direct_saves_ms : 0)) / 1_000;
  const processors = (calls_s * (v.database_ms + v.database_ms_per_event * batch)) / 1_000;
  const acus = Math.max(v.acu_min, processors / v.vcpu_per_acu / v.utilization);
  const ios_s = calls_s * (v.io + v.io_per_event * batch);
  const writes_s = calls_s * v.writes;
  const sqs_s = calls_s + 2 * deliveries_s;
  const units = Math.ceil((batch * v.bytes_per_event) / 32_768);
  const data_api_s = access === 'data-api' ? calls_s * units + deliveries_s : 0;
  const stored_gb_month = (in_millions(events) * v.stored_bytes_per_event) / 1_000;
  const log_gb = (in_millions(calls_s) * (v.log_bytes + v.log_bytes_per_event * batch)) / 1_000;
  const ledger = ledgerCost(acus, ios_s, stored_gb_month);
  const usd = {
    'HTTP API': in_millions(calls_s) * v.http_usd_per_million,
    Lambda:
      in_millions(calls_s + deliveries_s) * v.lambda_usd_per_million +
      (calls_s * call_s * v.ingest_gb + (deliveries_s * v.deliver_ms * v.deliver_gb) / 1_000) *
        month_s *
        v.lambda_usd_per_gb_s,
    'Data API': in_millions(data_api_s) * v.data_api_usd_per_million,
    'RDS Proxy and endpoints': access === 'proxy' ? proxyCost(acus) : 0,
    DynamoDB: in_millions(writes_s) * v.write_usd_per_million,
    SQS: in_millions(sqs_s) * v.sqs_usd_per_million,
    'Aurora compute': ledger.compute,
    'Aurora I/O': ledger.io,
    'Aurora storage, first month': ledger.storage,
    Logs: log_gb * v.log_usd_per_gb,
  };
  const usd_month = sum(Object.values(usd));
  return {
    calls_s,
    ingest_instances: calls_s * call_s,
    deliver_instances: (deliveries_s * v.deliver_ms) / 1_000,
    acus,
    ios_s,
    writes_s,
    sqs_s,
    data_api_s,
    stored_gb_month,
    usd,
    usd_month,
    usd_per_million: usd_month / in_millions(events),
    io_optimized: ledger.optimized,
  };
}

/** The cheaper of the two kinds of storage. */
function ledgerCost(acus: number, ios_s: number, gb: number) {
  const acu_hours = acus * v.instances * 730;
  const standard = {
    compute: acu_hours * v.acu_usd_per_hour,
    io: in_millions(ios_s) * v.io_usd_per_million,
    storage: gb * v.storage_usd_per_gb_month,
  };
  const optimized = {
    compute: acu_hours * v.optimized_acu_usd_per_hour,
    io: 0,
    storage: gb * v.optimized_storage_usd_per_gb_month,
  };
  const better = sum(Object.values(optimized)) < sum(Object.values(standard));
  return { ...(better ? optimized : standard), optimized: better };
}

function proxyCost(acus: number): number {
  const acu_hours = Math.max(v.proxy_acu_min, acus * v.instances) * 730;
  return acu_hours * v.proxy_usd_per_acu_hour + v.endpoints * 730 * v.endpoint_usd_per_hour;
}

export function cheaperAccess(events: number, batch: number): Access {
  const [http, direct] = (['data-api', 'proxy'] as const).map((access) =>
    capacity({ events, batch, access }),
  );
  return (direct?.usd_month ?? 0) < (http?.usd_month ?? 0) ? 'proxy' : 'data-api';
}

/** What must be done beyond the defaults to carry the load. */
export function needs(load: Load): string[] {
  const found = capacity(load);
  const sites = found.calls_s / v.site_commits_s;
  const clusters = Math.max(
    Math.ceil(found.acus / v.acu_max),
    Math.ceil(found.stored_gb_month / 1_000 / v.storage_tb_max),
  );
  return [
    ...(sites > 1 ? [`at least ${figure(Math.ceil(sites))} sites`] : []),
    ...(found.calls_s > v.http_rate ? ['HTTP quota'] : []),
    ...(found.ingest_instances > v.lambda_concurrency ? ['Lambda quota'] : []),
    ...(found.deliver_instances > 10
      ? [`deliverConcurrency ${figure(Math.ceil(found.deliver_instances))}`]
      : []),
    ...(clusters > 1 ? [`${clusters} ledgers`] : []),
  ];
}

/** The lowest rate, to two digits, from which on something is so. */
export function firstRate(is: (events: number) => boolean): number | undefined {
  for (let tens = 1; tens <= 1_000_000; tens *= 10) {
    for (let digits = 10; digits < 100; digits++) {
      const events = (digits * tens) / 10;
      if (events <= 1_000_000 && is(events)) return events;
    }
  }
  return undefined;
}

/** Events that one ACU stores in a second, at the utilization that is planned with or at its limit. */
export function eventsPerAcu(batch: number, utilization = 1): number {
  const call_s = (v.database_ms + v.database_ms_per_event * batch) / 1_000;
  return (v.vcpu_per_acu * utilization * batch) / call_s;
}

export function figure(value: number, digits = 0): string {
  return value.toLocaleString('en-US', { maximumFractionDigits: digits, minimumFractionDigits: digits });
}

const sum = (values: number[]): number => values.reduce((a, b) => a + b, 0);
