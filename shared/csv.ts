// Files that open in a spreadsheet: quoted as RFC 4180 says, and no field of a stranger's is ever a formula there.

/** One line with its CRLF. */
export function csvLine(fields: unknown[]): string {
  return `${fields.map(field).join(',')}\r\n`;
}

function field(value: unknown): string {
  const text = value === null || value === undefined ? '' : String(value);
  // An apostrophe makes a spreadsheet take as text what begins like a formula.
  const safe = /^[=+\-@\t\r]/.test(text) ? `'${text}` : text;
  return /[",\r\n]/.test(safe) ? `"${safe.replaceAll('"', '""')}"` : safe;
}
