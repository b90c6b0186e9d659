// The stages and everything in which they differ: the one file to edit before a deployment.
import { execFileSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { RemovalPolicy } from 'aws-cdk-lib';
import { RetentionDays } from 'aws-cdk-lib/aws-logs';
import { ALARMS, type AlarmSettings } from './alarm-settings.ts';
import type { BackupSettings, ConsoleSettings, EdgeSettings, ReleaseSettings } from './stage-options.ts';

/** The deployed functions; each is a file of functions/ and a folder of dist/. */
export const FUNCTIONS = [
  'ingest',
  'deliver',
  'recover',
  'reconcile',
  'freeze',
  'cleanup',
  'watchtower',
  'assure',
  'backfill',
  'sweep',
  'export',
  'api',
  'money',
  'webhook',
  'process',
  'match',
  'migrate',
] as const;
export type FunctionName = (typeof FUNCTIONS)[number];

/** Called often enough that a few minutes of a tenth of the calls say whether a new version works; a job runs too seldom. */
const RELEASED: readonly FunctionName[] = ['ingest', 'deliver', 'api', 'money', 'webhook'];
/** Whether callers reach a version of the function by an alias, which a release moves step by step. */
export function isReleased(name: FunctionName): boolean {
  return RELEASED.includes(name);
}

export interface FunctionSize {
  readonly memoryMb: number;
  readonly timeoutSeconds: number;
  /** Reserved from the concurrency of the account, which is as low as 10 in a new one: therefore unset by default. */
  readonly reservedConcurrency?: number;
}

export interface LedgerSettings {
  /**
   * How functions call the ledger: over the Data API, without a network of ours, or straight through RDS Proxy from inside the
   * network, which keeps a cluster from pausing. When to change: docs/scaling.md.
   */
  readonly access: 'data-api' | 'proxy';
  /**
   * With `proxy`: lets functions inside the network call the internet. Without it those that must (payment providers, token
   * keys, the stage's own API) stay outside and with the Data API.
   */
  readonly nat?: boolean;
  /** Storage that charges nothing for I/O and more for all else; the way back is open once in 30 days. */
  readonly ioOptimized?: boolean;
  /** Aurora capacity units; 0 lets the cluster pause. */
  readonly capacityMin: number;
  readonly capacityMax: number;
  /** Time without a connection after which a cluster with `capacityMin` 0 pauses; the first call then waits about 15 s. */
  readonly autoPauseSeconds?: number;
  /** A second instance in another zone, which takes over when the writer fails. */
  readonly reader: boolean;
  /**
   * Encrypts with a key of this account instead of the one AWS manages: a snapshot under the latter can never be shared
   * with a backup account. A change replaces the cluster.
   */
  readonly ownKey: boolean;
  readonly performanceInsights: boolean;
  /** How far back the ledger can be restored to any second. */
  readonly backupDays: number;
  readonly removalPolicy: RemovalPolicy;
}

/** How long nobody may change or delete what is archived. */
export interface EvidenceLock {
  /** GOVERNANCE yields to whoever has the permission to bypass it; COMPLIANCE to nobody, not even to the account's root. */
  readonly mode: 'GOVERNANCE' | 'COMPLIANCE';
  readonly days: number;
}

/** How long the ledger itself keeps what later only the archives hold. */
export interface RetentionSettings {
  /** A frozen month can be disputed for so long, and is archived before its rows leave the ledger. */
  readonly disputeWindowDays: number;
  readonly eventsDays: number;
  readonly personalDataDays: number;
}

export interface StageSettings extends ConsoleSettings {
  /** The account and region that the stage may be deployed to; whatever the credentials say where it is not set. */
  readonly account?: string;
  readonly region?: string;
  readonly ledger: LedgerSettings;
  readonly functions: Readonly<Record<FunctionName, FunctionSize>>;
  /** Batches that `deliver` moves at once: each holds one database connection. */
  readonly deliverConcurrency: number;
  readonly evidenceLock: EvidenceLock;
  readonly retention: RetentionSettings;
  readonly release: ReleaseSettings;
  /** Without it, callers reach the API itself, which throttles but cannot filter. */
  readonly edge?: EdgeSettings;
  /** Beside the recovery to any second, which every stage has and which ends with its account. */
  readonly backup?: BackupSettings;
  readonly alarms: AlarmSettings;
  /** Requests a second that the whole API admits; the limits of a site or key are in the ledger. */
  readonly throttle: { readonly rate: number; readonly burst: number };
  readonly logRetention: RetentionDays;
  /** What becomes of tables, secrets, users and keys with their stack. */
  readonly removalPolicy: RemovalPolicy;
  /** Deletion protection of everything that has it, and termination protection of the stacks. */
  readonly protect: boolean;
  /** Point-in-time recovery of the usage table, which the ledger can also rebuild. */
  readonly usageRecovery: boolean;
  /** Users must have a second factor, and Cognito blocks sign-ins with a leaked password (Plus plan, paid per user). */
  readonly guardedSignIn: boolean;
}

const FUNCTION_SIZES = {
  ingest: { memoryMb: 512, timeoutSeconds: 25 },
  deliver: { memoryMb: 512, timeoutSeconds: 30 },
  recover: { memoryMb: 256, timeoutSeconds: 29 },
  reconcile: { memoryMb: 256, timeoutSeconds: 29 },
  // Sealing a month of many millions of rows outlasts an HTTP caller, who may ask again.
  freeze: { memoryMb: 256, timeoutSeconds: 120 },
  // Archives take long. It stops by itself before this, and long before when called over HTTP; its next run goes on.
  cleanup: { memoryMb: 512, timeoutSeconds: 14 * 60 },
  watchtower: { memoryMb: 256, timeoutSeconds: 29 },
  // Over HTTP these two stop by themselves long before; on their schedules they go on.
  assure: { memoryMb: 256, timeoutSeconds: 14 * 60 },
  backfill: { memoryMb: 256, timeoutSeconds: 5 * 60 },
  sweep: { memoryMb: 256, timeoutSeconds: 29 },
  export: { memoryMb: 512, timeoutSeconds: 15 * 60 },
  // Proving an invoice of millions of rows hashes them all; everything else answers within moments.
  api: { memoryMb: 512, timeoutSeconds: 29 },
  // A payout is three calls of the ledger and one of the provider.
  money: { memoryMb: 512, timeoutSeconds: 29 },
  webhook: { memoryMb: 512, timeoutSeconds: 15 },
  process: { memoryMb: 256, timeoutSeconds: 60 },
  // A run that stops half-way begins anew, so a long list gets the time that it takes.
  match: { memoryMb: 512, timeoutSeconds: 10 * 60 },
  // The trigger that waits for it is itself cut off after 15 minutes and must report before that.
  migrate: { memoryMb: 512, timeoutSeconds: 14 * 60 },
} satisfies Record<FunctionName, FunctionSize>;

const RETENTION: RetentionSettings = { disputeWindowDays: 90, eventsDays: 60, personalDataDays: 30 };

const CANARY: ReleaseSettings = { traffic: 'canary', obeyAlarms: true };

const STAGES = {
  dev: {
    ledger: {
      access: 'data-api',
      capacityMin: 0,
      capacityMax: 2,
      autoPauseSeconds: 900,
      reader: false,
      ownKey: false,
      performanceInsights: false,
      backupDays: 1,
      removalPolicy: RemovalPolicy.DESTROY,
    },
    functions: FUNCTION_SIZES,
    deliverConcurrency: 5,
    evidenceLock: { mode: 'GOVERNANCE', days: 1 },
    retention: RETENTION,
    release: { traffic: 'all-at-once', obeyAlarms: true },
    alarms: { ...ALARMS, monthlyBudgetUsd: 100 },
    throttle: { rate: 2_000, burst: 4_000 },
    logRetention: RetentionDays.ONE_WEEK,
    removalPolicy: RemovalPolicy.DESTROY,
    protect: false,
    usageRecovery: false,
    guardedSignIn: false,
    consoleUrls: ['http://localhost:3000/console'],
  },
  staging: {
    ledger: {
      access: 'data-api',
      capacityMin: 0.5,
      capacityMax: 4,
      reader: false,
      ownKey: false,
      performanceInsights: true,
      backupDays: 7,
      removalPolicy: RemovalPolicy.SNAPSHOT,
    },
    functions: FUNCTION_SIZES,
    deliverConcurrency: 5,
    evidenceLock: { mode: 'GOVERNANCE', days: 30 },
    retention: RETENTION,
    release: CANARY, // as prod has it, so that it is rehearsed
    alarms: { ...ALARMS, monthlyBudgetUsd: 200 },
    throttle: { rate: 2_000, burst: 4_000 },
    logRetention: RetentionDays.ONE_MONTH,
    removalPolicy: RemovalPolicy.DESTROY,
    protect: true,
    usageRecovery: true,
    guardedSignIn: false,
    consoleUrls: ['http://localhost:3000/console'],
  },
  prod: {
    ledger: {
      access: 'data-api',
      capacityMin: 1,
      capacityMax: 16,
      reader: true,
      ownKey: true,
      performanceInsights: true,
      backupDays: 35,
      // Kept with its stack, but not when its very first creation fails, which would block the next attempt.
      removalPolicy: RemovalPolicy.RETAIN_ON_UPDATE_OR_DELETE,
    },
    functions: { ...FUNCTION_SIZES, ingest: { memoryMb: 1024, timeoutSeconds: 25 } },
    deliverConcurrency: 10,
    evidenceLock: { mode: 'COMPLIANCE', days: 400 },
    retention: RETENTION,
    release: CANARY,
    alarms: { ...ALARMS, monthlyBudgetUsd: 1_000 },
    throttle: { rate: 5_000, burst: 5_000 },
    logRetention: RetentionDays.SIX_MONTHS,
    removalPolicy: RemovalPolicy.RETAIN_ON_UPDATE_OR_DELETE,
    protect: true,
    usageRecovery: true,
    guardedSignIn: true,
    consoleUrls: ['http://localhost:3000/console'],
  },
} satisfies Record<string, StageSettings>;

export type Stage = keyof typeof STAGES;
export const STAGE_NAMES = Object.keys(STAGES) as Stage[];

/** Which source the deployed functions were built from; they tell it in every response. */
export interface Build {
  readonly commitSha: string;
  readonly commitBranch: string;
  readonly version: string;
}

export interface KernelConfig extends StageSettings {
  readonly stage: Stage;
  readonly build: Build;
}

/** @throws Error when the settings contradict each other. */
export function checkSettings(config: KernelConfig): KernelConfig {
  if (config.edge && !(config.region && config.account)) {
    throw new Error('An edge reaches over regions: set account and region of its stage.');
  }
  const { access, capacityMin, ownKey } = config.ledger;
  if (config.backup && !ownKey) {
    throw new Error(
      'A snapshot under the key of AWS cannot leave the account: set ledger.ownKey for backups.',
    );
  }
  if (access === 'proxy' && capacityMin === 0) {
    throw new Error('A cluster behind RDS Proxy never pauses: set ledger.capacityMin to 0.5 or more.');
  }
  return config;
}

/** @throws Error that names the allowed stages when `stage` is none of them. */
export function kernelConfig(stage: string, build: Build): KernelConfig {
  const name = STAGE_NAMES.find((one) => one === stage);
  if (name === undefined) {
    throw new Error(`The stage "${stage}" is unknown: choose ${STAGE_NAMES.join(', ')} with -c stage=NAME.`);
  }
  return { ...STAGES[name], stage: name, build };
}

const ROOT = join(import.meta.dirname, '..');

export function readBuild(variables: Readonly<Record<string, string | undefined>>): Build {
  const { version } = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8')) as { version: string };
  return {
    commitSha: variables.COMMIT_SHA || variables.GITHUB_SHA || git('rev-parse', 'HEAD'),
    commitBranch: variables.COMMIT_BRANCH || variables.GITHUB_REF_NAME || git('branch', '--show-current'),
    version,
  };
}

function git(...command: string[]): string {
  if (!existsSync(join(ROOT, '.git'))) return 'unknown';
  try {
    const answer = execFileSync('git', command, {
      cwd: ROOT,
      encoding: 'utf8',
      stdio: ['ignore', 'pipe', 'ignore'],
    });
    return answer.trim() || 'unknown';
  } catch {
    return 'unknown';
  }
}
