// The contract of administration: sites, plans, keys and members for platform admins, corrections of invoices for finance.
import * as z from 'zod';
import { memberInput, plan as newPlan, newSite } from './administration.ts';
import type { Operation } from './contract-operation.ts';
import {
  count,
  cursor,
  instant,
  limit,
  month,
  monthParameter,
  ok,
  ref,
  signedCount,
  site,
  siteFields,
  siteOnly,
  usageFields,
  uuid,
} from './contract-schemas.ts';
import { adjustmentInput, decisionInput } from './corrections.ts';
import type { ErrorCode } from './errors.ts';

newPlan.register(z.globalRegistry, { id: 'NewPlan' });
newSite.register(z.globalRegistry, { id: 'NewSite' });

const liveKeys = z.int().meta({ description: 'Live keys of the site now; two at the most.' });
const keyFields = {
  key_id: uuid,
  prefix: z.string().meta({ description: 'How the key begins, to tell keys apart.' }),
  revoked: z.array(uuid).meta({ description: 'Keys that this one replaced.' }),
  live_keys: liveKeys,
};
const secretKey = z.string().meta({ description: 'The key itself, shown this once.' });
const createdKey = ok({ api_key: secretKey, ...keyFields }).meta({ id: 'CreatedKey' });
const keys = z.array(
  z
    .strictObject({ key_id: uuid, prefix: z.string(), live: z.boolean(), created_at: instant })
    .meta({ id: 'ApiKey' }),
);
const member = z
  .strictObject({ site_id: uuid, user_id: uuid, role: memberInput.shape.role.nullable() })
  .meta({ id: 'Member' });
const proposal = z
  .strictObject({
    id: uuid,
    site_id: uuid,
    corrects_month: month,
    event_delta: signedCount,
    overage_delta: signedCount,
    reason: z.string(),
    author: z.string(),
    created_at: instant,
    decision: decisionInput.shape.decision.nullable(),
    decided_by: z.string().nullable(),
    decided_at: instant.nullable(),
  })
  .meta({
    id: 'AdjustmentProposal',
    description: 'A correction of a frozen month that a second person decides.',
  });

const body_errors: ErrorCode[] = ['invalid_json', 'invalid_request', 'text_invalid', 'payload_too_large'];
const site_errors: ErrorCode[] = ['site_not_found', 'text_invalid'];

type Words = Pick<Operation, 'id' | 'method' | 'path' | 'summary' | 'description'>;
interface Rest extends Partial<Omit<Operation, keyof Words | 'body'>> {
  answer: z.ZodType;
  input?: z.ZodType;
  created?: boolean;
}
/** An operation of one site, unless its parameters say otherwise. */
export function admin({ path, ...words }: Words, { answer, input, created, ...more }: Rest): Operation {
  return {
    path: `/api/admin/sites${path}`,
    tag: 'administration',
    caller: 'token',
    parameters: { path: siteOnly },
    ...(input && { body: { 'application/json': input } }),
    replies: [{ status: created ? 201 : 200, description: created ? 'Created.' : 'Done.', body: answer }],
    ...words,
    ...more,
    errors: [...new Set([...site_errors, ...(input ? body_errors : []), ...(more.errors ?? [])])],
  };
}

const onKey = z.object({ ref, key: z.string().meta({ description: 'The key_id of the key.' }) });
const onMember = z.object({ ref, user: uuid.meta({ description: 'The sub of the user’s token.' }) });

const siteAdministration: Operation[] = [
  admin(
    {
      ...{ id: 'createSite', method: 'post', path: '', summary: 'Create a site' },
      description: 'Creates a site with its plan and, when asked, its first API key; needs a platform admin.',
    },
    {
      answer: ok({
        ...siteFields,
        ...z.object({ api_key: secretKey, ...keyFields }).partial().shape,
        live_keys: liveKeys,
      }),
      input: newSite,
      created: true,
      parameters: {},
      errors: ['conflict'],
    },
  ),
  admin(
    {
      ...{ id: 'listSites', method: 'get', path: '', summary: 'All sites' },
      description: 'All sites in order of creation; needs a platform admin.',
    },
    {
      answer: ok({ sites: z.array(site), next_cursor: z.string().nullable() }),
      parameters: { query: z.object({ cursor, limit: limit(50, 200) }) },
      errors: ['invalid_request'],
    },
  ),
  admin(
    {
      ...{ id: 'siteUsage', method: 'get', path: '/{ref}/usage', summary: 'Usage of a month, for operators' },
      description: 'Usage of a month from every side, and what remains; needs a platform admin.',
    },
    {
      answer: ok({ ...usageFields, remaining: count }),
      parameters: { path: siteOnly, query: z.object({ month: monthParameter }) },
      errors: ['invalid_request'],
    },
  ),
  admin(
    {
      ...{ id: 'setMember', method: 'put', path: '/{ref}/members/{user}', summary: 'Set a member’s role' },
      description: 'Makes a user a member of the site, or changes the role; needs a platform admin.',
    },
    { answer: ok({ member }), input: memberInput, parameters: { path: onMember } },
  ),
  admin(
    {
      ...{ id: 'removeMember', method: 'delete', path: '/{ref}/members/{user}', summary: 'Remove a member' },
      description: 'Takes a user’s role at the site away; needs a platform admin.',
    },
    { answer: ok({ member }), parameters: { path: onMember }, errors: ['invalid_request'] },
  ),
];

const keyAdministration: Operation[] = [
  admin(
    {
      ...{ id: 'listKeys', method: 'get', path: '/{ref}/keys', summary: 'API keys' },
      description: 'The newest 100 keys of the site without the keys themselves; needs a platform admin.',
    },
    { answer: ok({ keys }) },
  ),
  admin(
    {
      ...{ id: 'createKey', method: 'post', path: '/{ref}/keys', summary: 'Create an API key' },
      description: 'Adds a live key, of which a site has two at the most; needs a platform admin.',
    },
    { answer: createdKey, created: true, errors: ['keys_exhausted'] },
  ),
  admin(
    {
      ...{ id: 'rotateKey', method: 'post', path: '/{ref}/keys/rotate', summary: 'Rotate the API key' },
      description:
        'Adds a live key and, when two are live already, revokes the older; needs a platform admin.',
    },
    { answer: createdKey, created: true },
  ),
  admin(
    {
      ...{ id: 'revokeKey', method: 'delete', path: '/{ref}/keys/{key}', summary: 'Revoke an API key' },
      description:
        'Revokes a key, which stops working everywhere within 30 s; repeatable; needs a platform admin.',
    },
    {
      answer: ok({ key_id: uuid, live_keys: liveKeys }),
      parameters: { path: onKey },
      errors: ['key_not_found'],
    },
  ),
];

const corrections: Operation[] = [
  admin(
    {
      ...{
        id: 'listAdjustments',
        method: 'get',
        path: '/{ref}/adjustments',
        summary: 'Proposed corrections',
      },
      description:
        'The newest 200 proposals of the site, decided ones too; needs finance or a platform admin.',
    },
    { answer: ok({ adjustments: z.array(proposal) }) },
  ),
  admin(
    {
      ...{
        id: 'proposeAdjustment',
        method: 'post',
        path: '/{ref}/adjustments',
        summary: 'Propose a correction',
      },
      description: 'Proposes a correction of a frozen month; needs finance or a platform admin.',
    },
    {
      answer: ok({ adjustment: proposal }),
      input: adjustmentInput,
      created: true,
      errors: ['month_not_frozen'],
    },
  ),
  admin(
    {
      ...{ id: 'decideAdjustment', method: 'post', path: '/{ref}/adjustments/{id}/decision' },
      summary: 'Decide a correction',
      description: 'Approves and books, or rejects, a proposal; who approves is not its author.',
    },
    {
      answer: ok({ adjustment: proposal }),
      input: decisionInput,
      parameters: {
        path: z.object({ ref, id: z.string().meta({ description: 'The id of the proposal.' }) }),
      },
      errors: ['adjustment_not_found', 'adjustment_decided', 'four_eyes'],
    },
  ),
];

export const administrationOperations: Operation[] = [
  ...siteAdministration,
  ...keyAdministration,
  ...corrections,
];
