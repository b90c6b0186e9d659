// The HTTP contract as OpenAPI 3.1, from the schemas that validate; to add an operation, add it to one of the lists below.
import { createDocument } from 'zod-openapi';
import { administrationOperations } from './contract-administration.ts';
import { assuranceOperations } from './contract-assurance.ts';
import { billingOperations } from './contract-billing.ts';
import { bookOperations } from './contract-books.ts';
import { eventOperations } from './contract-events.ts';
import { financeOperations } from './contract-finance.ts';
import { findingOperations } from './contract-findings.ts';
import { flagOperations } from './contract-flags.ts';
import { jobOperations } from './contract-jobs.ts';
import { moneyOperations } from './contract-money.ts';
import { type Operation, toPaths } from './contract-operation.ts';
import { overviewOperations } from './contract-overview.ts';
import { paymentJobs, paymentOperations } from './contract-payments.ts';
import { planOperations } from './contract-plans.ts';
import { playerOperations } from './contract-players.ts';
import { rowOperations } from './contract-rows.ts';
import { siteJobOperations } from './contract-site-jobs.ts';
import { siteOperations } from './contract-sites.ts';
import { systemOperations } from './contract-system.ts';
import { trackerOperations } from './contract-tracker.ts';

export const operations: Operation[] = [
  ...eventOperations,
  ...billingOperations,
  ...siteOperations,
  ...siteJobOperations,
  ...rowOperations,
  ...trackerOperations,
  ...overviewOperations,
  ...administrationOperations,
  ...planOperations,
  ...moneyOperations,
  ...financeOperations,
  ...bookOperations,
  ...playerOperations,
  ...paymentOperations,
  ...findingOperations,
  ...assuranceOperations,
  ...flagOperations,
  ...jobOperations,
  ...paymentJobs,
  ...systemOperations,
];

const tags: Record<Operation['tag'], string> = {
  events: 'The hot path.',
  sites: 'What the people of a site may read and do.',
  administration: 'Sites, plans, keys and members; corrections of invoices.',
  money: 'What a player does with their own wallet.',
  finance: 'What the people of finance do with the wallets and withdrawals of their tenant.',
  books: 'The books of money: what every balance is made of.',
  payments:
    'What payment providers say, what does not agree with the ledger, and what finance does about it.',
  assurance: 'Whether wallets agree with their entries, and what brings them back; flags.',
  jobs: 'What runs on schedules, started by hand. Each may be started again at any time.',
  system: 'The kernel itself.',
};
const description = `Usage you can prove, money that always adds up.

Counts are decimal strings, and so is money, in minor units of its currency; instants are UTC. Readers pass over fields and headers that they do not know.
A refusal is \`{ok: false, error, code, request_id}\` and has changed nothing, unless it says otherwise; what is no operation is 404 \`not_found\` or 405 \`method_not_allowed\`.
A call that is repeated with its \`Idempotency-Key\` does nothing again: it is answered as it was at first, with \`Idempotency-Replayed: true\`.
The gateway in front answers by itself, as \`{message}\`, when a path is unknown to it (404), when it throttles (429) and when a function is busy or late (503).`;

/** The document, for a version of the kernel. */
export function openapi(version: string) {
  return createDocument(
    {
      openapi: '3.1.0',
      info: {
        title: 'Revenue Kernel',
        version,
        description,
        license: { name: 'Apache-2.0', identifier: 'Apache-2.0' },
      },
      tags: Object.entries(tags).map(([name, text]) => ({ name, description: text })),
      paths: toPaths(operations),
      components: {
        securitySchemes: {
          bearerToken: {
            type: 'http',
            scheme: 'bearer',
            bearerFormat: 'JWT',
            description: 'An access token of the stage’s issuer.',
          },
          cronSecret: { type: 'http', scheme: 'bearer', description: 'The cron secret of the stage.' },
          siteOrigin: {
            type: 'apiKey',
            in: 'header',
            name: 'Origin',
            description: 'An origin that the site registered, or a subdomain.',
          },
          apiKey: {
            type: 'apiKey',
            in: 'header',
            name: 'X-Api-Key',
            description: 'A live API key of the site.',
          },
          apiKeyBearer: { type: 'http', scheme: 'bearer', description: 'The same as a bearer.' },
        },
      },
    },
    {
      override: ({ jsonSchema, io }) => {
        // Tests hold answers to the very fields; readers are told to expect more, so that a field can be added.
        if (jsonSchema.maximum === Number.MAX_SAFE_INTEGER) delete jsonSchema.maximum;
        if (jsonSchema.minimum === Number.MIN_SAFE_INTEGER) delete jsonSchema.minimum;
        if (io === 'output' && jsonSchema.additionalProperties === false)
          delete jsonSchema.additionalProperties;
      },
    },
  );
}
