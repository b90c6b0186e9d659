// The events of an application as types: a map from category to action to what must be told of it.

/** What may be told of an event beside its category and action. */
export interface Details {
  label?: string;
  value?: number | string;
  /** The address that the event belongs to; the page's own unless given. */
  url?: string;
  /** Anything else that JSON can hold. */
  meta?: object;
}

/** `{ shop: { buy: { value: number }, view: {} } }`; without a map any words are taken. */
export type EventMap<Events> = {
  [Category in keyof Events]: { [Action in keyof Events[Category]]: Details };
};
export type AnyEvents = Record<string, Record<string, Details>>;

/** Details are asked for where a field of them is; the map decides. */
export type DetailsOf<Told, Extra> = object extends Told ? [details?: Told & Extra] : [details: Told & Extra];

export type Track<Events, Answer, Extra = Details> = <
  Category extends keyof Events & string,
  Action extends keyof Events[Category] & string,
>(
  category: Category,
  action: Action,
  ...details: DetailsOf<Events[Category][Action], Extra>
) => Answer;
