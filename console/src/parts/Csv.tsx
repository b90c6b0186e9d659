// The CSV of a filter: all its rows, not only those of the page.
import { useState } from 'react';
import { t } from '../words/words.ts';
import type { Column } from './DataTable.tsx';
import { Failed } from './states.tsx';

type Value = string | number | boolean | bigint | null | undefined;

export function CsvButton<Row>(props: {
  name: string;
  columns: readonly Column<Row>[];
  all: () => Promise<readonly Row[]>;
}) {
  const { name, columns, all } = props;
  const [making, setMaking] = useState(false);
  const [error, setError] = useState<Error>();
  const make = async () => {
    setMaking(true);
    setError(undefined);
    try {
      const texts = columns.filter(({ text }) => text);
      const head = texts.map(({ header, unit }) => (unit ? `${header} (${unit})` : header));
      const rows = (await all()).map((row) => texts.map(({ text }) => text?.(row)));
      download(`${name}.csv`, csvOf([head, ...rows]), 'text/csv');
    } catch (failed) {
      setError(failed as Error);
    }
    setMaking(false);
  };
  return (
    <>
      <button type="button" disabled={making} onClick={() => void make()}>
        {making ? t('csv_making') : t('csv')}
      </button>
      {error && <Failed error={error} />}
    </>
  );
}

/** RFC 4180; a text that a spreadsheet would take for a formula is kept a text. */
export function csvOf(rows: readonly (readonly Value[])[]): string {
  const field = (value: Value) => {
    const plain = value === null || value === undefined ? '' : String(value);
    const text =
      typeof value === 'string' && /^[=+\-@\t\r]/.test(plain) && !/^-?\d+(\.\d+)?$/.test(plain)
        ? `'${plain}`
        : plain;
    return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
  };
  return rows.map((row) => `${row.map(field).join(',')}\r\n`).join('');
}

/** Saves a file that the page made. */
export function download(name: string, content: BlobPart, type: string): void {
  const link = document.createElement('a');
  link.href = URL.createObjectURL(new Blob([content], { type }));
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
}
