// Every part on one page, for its tests; it is not shipped.
import { useState } from 'react';
import { createRoot } from 'react-dom/client';
import { ApiError } from '../src/api/client.ts';
import type { List } from '../src/api/query.ts';
import { BarChart, LineChart, Sparkline, StackedBars } from '../src/parts/Chart.tsx';
import { Id } from '../src/parts/Copy.tsx';
import { type Column, DataTable } from '../src/parts/DataTable.tsx';
import { Dialog, ReasonDialog } from '../src/parts/Dialog.tsx';
import { Field, Filters, Select } from '../src/parts/Field.tsx';
import { Amount, Badge, Count, Drift, Progress, Stat, Stats } from '../src/parts/numbers.tsx';
import { Page, Section } from '../src/parts/Page.tsx';
import { When } from '../src/parts/When.tsx';
import '../src/styles/console.css';

interface Row {
  id: string;
  amount: string;
  at: string;
}
const rows: Row[] = [
  { id: 'b', amount: '9007199254740993', at: '2026-11-02T10:00:00Z' },
  { id: '=a', amount: '-500', at: '2026-11-01T10:00:00Z' },
];
const refusal = new ApiError(409, 'conflict', 'Somebody else was first.', 'request-7');
const loaded = { as_of_ms: 0, loading: false, error: null, retry: () => undefined };
const listOf = (found: readonly Row[] | undefined, more: Partial<List<Row>> = {}): List<Row> => ({
  ...loaded,
  rows: found,
  all: async () => found ?? [],
  ...more,
});
const columns: Column<Row>[] = [
  {
    id: 'id',
    header: 'Id',
    names: true,
    cell: (row) => <Id value={row.id} />,
    text: (row) => row.id,
    sort: (row) => row.id,
  },
  {
    ...{ id: 'amount', header: 'Amount', unit: 'EUR', align: 'end', sort: (row: Row) => BigInt(row.amount) },
    cell: (row) => <Amount minor={row.amount} currency="EUR" />,
    text: (row) => row.amount,
  },
  { id: 'at', header: 'Created', cell: (row) => <When at={row.at} /> },
];
const points = rows.map(({ at, amount }) => ({ at, value: amount })).reverse();

function Gallery() {
  const [open, setOpen] = useState<'dialog' | 'reason'>();
  const [keys, setKeys] = useState<string[]>([]);
  return (
    <main>
      <Page title="Parts" as_of_ms={Date.now()} beside={<Badge tone="info">frozen</Badge>}>
        <Stats>
          <Stat label="Drift" value={<Drift value="-12" />} tone="bad" as_of={0} />
          <Stat label="Over" value={<Drift value="3" unit="events" />} tone="warn" />
          <Stat label="None" value={<Drift value="0" />} tone="good" note="well" />
          <Stat label="Unknown" value={<Drift value={null} />} tone="info" />
          <Stat label="Count" value={<Count value="18204311" />} unit="events" />
        </Stats>
        {(['plain', 'good', 'warn', 'bad', 'info'] as const).map((tone) => (
          <Badge key={tone} tone={tone}>
            {tone}
          </Badge>
        ))}
        <Progress label="Backfill" done="50" total="200" />
        <Progress label="Export" done="5" />
        <Sparkline title="Events" values={['1', '4', '2']} />
        <Filters apply={() => undefined} clear={() => undefined}>
          <Select label="State" name="state" options={[{ value: 'paid', label: 'Paid' }]} />
          <Field label="Player" hint="A UUID" error="No such player">
            {(field) => <input name="player" {...field} />}
          </Field>
        </Filters>
        <DataTable
          caption="Loaded"
          columns={columns}
          list={listOf(rows, { older: () => undefined })}
          rowKey={(row) => row.id}
          csv="rows"
        />
        <DataTable
          caption="Nothing yet"
          columns={columns}
          list={listOf([])}
          rowKey={(row) => row.id}
          nothing="Send an event."
        />
        <DataTable
          caption="No match"
          columns={columns}
          list={listOf([])}
          rowKey={(row) => row.id}
          filtered
          clear={() => undefined}
        />
        <DataTable
          caption="Failed"
          columns={columns}
          list={listOf(undefined, { error: refusal })}
          rowKey={(row) => row.id}
        />
        <Section title="Charts">
          <LineChart
            title="Drift"
            unit="events"
            series={[
              { name: 'usage', points },
              { name: 'ledger', kind: 'step', points },
            ]}
            bands={[{ from: '2026-11-01T12:00:00Z', to: '2026-11-01T18:00:00Z', label: 'backfill' }]}
          />
          <BarChart
            title="Days"
            unit="rows"
            bars={[
              { label: '1 Nov', value: '7' },
              { label: '2 Nov', value: '9', marked: true, note: 'differs' },
            ]}
          />
          <StackedBars
            title="Verdicts"
            unit="events"
            series={['new', 'duplicate']}
            columns={[{ label: '14:00', values: ['5', '2'] }]}
          />
          <LineChart title="Empty" unit="events" series={[]} />
        </Section>
        <div className="actions">
          <button type="button" onClick={() => setOpen('dialog')}>
            Open
          </button>
          <button type="button" onClick={() => setOpen('reason')}>
            Pay
          </button>
        </div>
        <output data-testid="keys">{keys.join(' ')}</output>
      </Page>
      {open === 'dialog' && (
        <Dialog title="Detail" kind="side" onClose={() => setOpen(undefined)}>
          <p>Something.</p>
        </Dialog>
      )}
      {open === 'reason' && (
        <ReasonDialog
          title="Pay"
          consequence="Pays 840.00 EUR to DE…4471."
          action="Pay 840.00 EUR"
          keyed
          act={async ({ key, reason }) => {
            setKeys([...keys, key]);
            if (keys.length === 0) throw refusal;
            return `Paid: ${reason}`;
          }}
          onClose={() => setOpen(undefined)}
        />
      )}
    </main>
  );
}

createRoot(document.getElementById('app') as HTMLElement).render(<Gallery />);
