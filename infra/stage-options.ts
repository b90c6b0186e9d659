// How a stage is released, what stands before it and what of it is kept elsewhere: settings that infra/config.ts chooses from.

/** A name that a certificate of this account covers, in the region where it is used. */
export interface NameSettings {
  readonly domainName: string;
  readonly certificateArn: string;
}

/** The console that people use in a browser. */
export interface ConsoleSettings {
  /** `false` leaves it out; otherwise it lives at the edge of the stage, or at a distribution of its own. */
  readonly console?: false;
  /** Where else a console lives; Cognito sends users back only to these and to the stage's own. Plain http is allowed for localhost only. */
  readonly consoleUrls: readonly string[];
}

/** CloudFront and WAF before the API; they need `region`, and a bootstrapped us-east-1, where WAF keeps its rules for CloudFront. */
export interface EdgeSettings {
  /** Requests a minute from one address; above it WAF answers 429. API keys send from few addresses. */
  readonly requestsPerMinute: number;
  /** Raise it to let CloudFront send what the origin secret holds now. */
  readonly originSecretVersion: number;
  /** The public name, with a certificate of us-east-1; without it, the name is that of the distribution. */
  readonly viewer?: NameSettings;
  /**
   * The name by which CloudFront reaches the API, with a certificate of `region`; its DNS record names the output
   * OriginTarget. Only with it can the API's own address be closed; without it, that address answers 403.
   */
  readonly origin?: NameSettings;
}

/** Copies of the ledger's snapshots where whoever takes over this account, or loses its region, cannot reach them. */
export interface BackupSettings {
  /** A vault of another account in this region, or of another region in this account: a snapshot of Aurora goes one way in one copy. */
  readonly copyToVaultArn: string;
  readonly days: number;
}

/** How a new version of a function that people wait for takes over. */
export interface ReleaseSettings {
  /** `canary`: a tenth of the calls for five minutes, then all of them. */
  readonly traffic: 'canary' | 'all-at-once';
  /** Whether an alarm stops a release and brings the old version back. */
  readonly obeyAlarms: boolean;
}
