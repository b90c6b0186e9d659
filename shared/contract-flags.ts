// The contract of feature flags: what is switched on for all, for a share of the subjects, or for one tenant.
import * as z from 'zod';
import { admin } from './contract-assurance.ts';
import type { Operation } from './contract-operation.ts';
import { instant, ok } from './contract-schemas.ts';
import { flagInput } from './flag.ts';

const flag = z
  .strictObject({
    flag: z.string(),
    value: z.boolean(),
    rollout_percent: z.int().nullable(),
    description: z.string(),
    overrides: z.record(z.string(), z.boolean()).meta({ description: 'By tenant.' }),
    history: z
      .array(
        z.strictObject({
          at: instant,
          actor: z.string(),
          to: z.boolean().nullable(),
          from: z.boolean().nullable().optional(),
          to_percent: z.int().nullable().optional(),
          from_percent: z.int().nullable().optional(),
          tenant_id: z.string().optional(),
          stage: z.string().optional(),
        }),
      )
      .meta({ description: 'The last 20 changes, newest first.' }),
  })
  .meta({ id: 'Flag' });
const onFlag = z.object({ flag: z.string().meta({ description: 'The name of the flag.' }) });

export const flagOperations: Operation[] = [
  admin(
    {
      ...{ id: 'listFlags', method: 'get', path: '/flags', summary: 'Feature flags' },
      description: 'Every flag; needs a platform admin.',
    },
    { answer: ok({ flags: z.array(flag) }) },
  ),
  admin(
    {
      ...{ id: 'readFlag', method: 'get', path: '/flags/{flag}', summary: 'A feature flag' },
      description: 'A flag with its last changes; needs a platform admin.',
    },
    { answer: ok({ flag }), parameters: { path: onFlag }, errors: ['not_found', 'text_invalid'] },
  ),
  admin(
    {
      ...{ id: 'setFlag', method: 'put', path: '/flags/{flag}', summary: 'Switch a feature flag' },
      description:
        'For all, for a percentage, or for a tenant, whose override null removes; needs a platform admin.',
    },
    {
      answer: ok({ flag }),
      input: flagInput,
      parameters: { path: onFlag },
      errors: ['not_found', 'invalid_json', 'invalid_request', 'text_invalid', 'payload_too_large'],
    },
  ),
];
