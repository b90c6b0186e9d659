// The catalogue of words: English is written first, and a Turkish word that is missing is a type error.
import { languageTag, settings } from '../shell/settings.ts';

/** Forms by plural category of the parameter `n`; `other` is what the rest of them read. */
export type Plural = { readonly zero?: string; readonly one?: string; readonly other: string };
export type Words = Readonly<Record<string, string | Plural>>;
/** The same words in another language. */
export type Translated<English extends Words> = { readonly [Key in keyof English]: string | Plural };

type Names<Text extends string> = Text extends `${string}{${infer Name}}${infer Rest}`
  ? Name | Names<Rest>
  : never;
type NamesOf<Form> = Form extends string
  ? Names<Form>
  : Form extends Plural
    ? Names<Form['other']> | 'n'
    : never;
type Value = string | number | bigint;
type Given<Form> = [NamesOf<Form>] extends [never]
  ? []
  : [values: { readonly [Name in NamesOf<Form>]: Value }];

/**
 * The function that says the words of an area: `t('rows', { n: 3 })`. Numbers are written as the language writes them; `n`
 * chooses the plural form.
 */
export function area<const English extends Words>(english: English, turkish: Translated<English>) {
  return <Key extends keyof English & string>(key: Key, ...[values]: Given<English[Key]>): string => {
    const words: Words = settings.get().language === 'tr' ? turkish : english;
    const form = words[key] ?? english[key] ?? key;
    return fill(typeof form === 'string' ? form : plural(form, values), values);
  };
}

function plural(form: Plural, values: Readonly<Record<string, Value>> | undefined): string {
  const category = new Intl.PluralRules(languageTag()).select(Number(values?.n ?? 0));
  return (form as Record<string, string>)[category] ?? form.other;
}

function fill(text: string, values: Readonly<Record<string, Value>> | undefined): string {
  return text.replace(/\{(\w+)\}/g, (_, name: string) => {
    const value = values?.[name];
    return typeof value === 'string' ? value : new Intl.NumberFormat(languageTag()).format(value ?? 0);
  });
}
