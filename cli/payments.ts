// The commands on payments: apply what providers said, fetch what no webhook brought, and say who carries a method and what a product credits.
import { type Call, type Command, decimal, required, text, UsageError } from './command.ts';
import { report, secretOption, start } from './cron.ts';
import { print, printJson, shown, table } from './output.ts';

interface Method {
  method: string;
  provider: string;
  of_tenant: boolean;
}
interface Product {
  provider: string;
  product_id: string;
  points: string;
  currency: string;
  version: number;
}

const tenant = { tenant: { type: 'string', value: 'T', help: 'the tenant (default: default)' } } as const;

function door(name: string, { values }: Call): string {
  const asked = text(values, 'tenant');
  return `/api/v1/admin/${name}${asked === undefined ? '' : `?tenant_id=${encodeURIComponent(asked)}`}`;
}

const process: Command = {
  words: 'payments process',
  usage: '',
  summary: 'apply what payment providers said and no message has brought',
  positionals: 0,
  options: secretOption,
  run: async (call) => report(await start(call, 'payments-process'), call.json),
};

const catchUp: Command = {
  words: 'payments catch-up',
  usage: '',
  summary: 'fetch from the lists of the providers what no webhook has brought',
  positionals: 0,
  options: secretOption,
  run: async (call) => report(await start(call, 'payments-match/catch-up'), call.json),
};

const methodList: Command = {
  words: 'method list',
  usage: '[--tenant T]',
  summary: 'list which provider carries each payment method',
  positionals: 0,
  options: tenant,
  async run(call) {
    const answer = await call.api().get<{ methods: Method[] }>(door('payment-methods', call));
    if (call.json) printJson(answer);
    else {
      const rows = answer.methods.map((one) => [
        one.method,
        one.provider,
        one.of_tenant ? 'the tenant' : 'everybody',
      ]);
      print(table(rows, ['METHOD', 'PROVIDER', 'SET FOR']));
    }
    return 0;
  },
};

const methodSet: Command = {
  words: 'method set',
  usage: '<method> <provider> [--tenant T|--everybody]',
  summary: 'say which provider carries a payment method; payments that have begun stay with theirs',
  positionals: 2,
  options: {
    ...tenant,
    everybody: { type: 'boolean', help: 'for all tenants that have none of their own' },
  },
  async run(call) {
    const [method = '', provider = ''] = call.args;
    const { values } = call;
    if (values.everybody === true && text(values, 'tenant') !== undefined)
      throw new UsageError('Options --tenant and --everybody exclude each other.');
    const body = { method, provider, everybody: values.everybody === true };
    const answer = await call
      .api()
      .send<{ tenant_id: string; method: string; provider: string }>(
        'PUT',
        door('payment-methods', call),
        body,
      );
    const whose = answer.tenant_id === '*' ? 'everybody' : answer.tenant_id;
    if (call.json) printJson(answer);
    else print(table([[answer.method, answer.provider, whose]], ['METHOD', 'PROVIDER', 'SET FOR']));
    return 0;
  },
};

const productHeader = ['PROVIDER', 'PRODUCT', 'POINTS', 'CURRENCY', 'VERSION'];
const productRow = (one: Product) =>
  [one.provider, one.product_id, one.points, one.currency, one.version].map(shown);

const productList: Command = {
  words: 'product list',
  usage: '[--tenant T]',
  summary: "list what the products of the tenant's shops credit",
  positionals: 0,
  options: tenant,
  async run(call) {
    const answer = await call.api().get<{ products: Product[] }>(door('products', call));
    if (call.json) printJson(answer);
    else print(table(answer.products.map(productRow), productHeader));
    return 0;
  },
};

const productSet: Command = {
  words: 'product set',
  usage: '<provider> <product> --points N [--currency C] [--tenant T]',
  summary: 'say what one piece of a product credits, from now on',
  positionals: 2,
  options: {
    ...tenant,
    points: { type: 'string', value: 'N', help: 'minor units of the currency' },
    currency: { type: 'string', value: 'C', help: 'default: POINTS' },
  },
  async run(call) {
    const [provider = '', product_id = ''] = call.args;
    required(call.values, 'points');
    const currency = text(call.values, 'currency');
    const points = decimal(call.values, 'points', false);
    const body = { provider, product_id, points, ...(currency !== undefined && { currency }) };
    const answer = await call.api().send<{ product: Product }>('PUT', door('products', call), body);
    if (call.json) printJson(answer);
    else print(table([productRow(answer.product)], productHeader));
    return 0;
  },
};

export const paymentCommands = [process, catchUp, methodList, methodSet, productList, productSet];
