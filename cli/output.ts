// What the commands print: data on stdout, everything else on stderr, never a colour.

export function print(line: string): void {
  process.stdout.write(`${line}\n`);
}

export function note(line: string): void {
  process.stderr.write(`${line}\n`);
}

export function printJson(value: unknown): void {
  print(JSON.stringify(value));
}

/** Columns are padded to their widest cell; a column of numbers leans right. */
export function table(rows: string[][], header?: string[]): string {
  const all = header ? [header, ...rows] : rows;
  const widths: number[] = [];
  const numeric: boolean[] = [];
  for (const row of all) {
    row.forEach((cell, i) => {
      widths[i] = Math.max(widths[i] ?? 0, cell.length);
    });
  }
  widths.forEach((_, i) => {
    numeric[i] = rows.length > 0 && rows.every((row) => /^-?[\d.]*$/.test(row[i] ?? ''));
  });
  const pad = (cell: string, i: number) =>
    numeric[i] ? cell.padStart(widths[i] ?? 0) : cell.padEnd(widths[i] ?? 0);
  return all.map((row) => row.map(pad).join('  ').trimEnd()).join('\n');
}

/** A dash stands for what is not there. */
export function shown(value: unknown): string {
  if (value === null || value === undefined || value === '') return '-';
  return Array.isArray(value) ? value.join(' ') : String(value);
}
