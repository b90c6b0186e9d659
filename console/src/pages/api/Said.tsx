// A description of the document: English, with its `code` as code.
import { Fragment } from 'react';

export function Said({ text }: { text: string | undefined }) {
  if (!text) return null;
  return (
    <span lang="en">
      {text.split('`').map((part, index) => (
        // biome-ignore lint/suspicious/noArrayIndexKey: the parts of a text do not move
        <Fragment key={index}>{index % 2 ? <code>{part}</code> : part}</Fragment>
      ))}
    </span>
  );
}
