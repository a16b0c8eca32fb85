/** The options of repository calls. */
import type { Transaction } from "../transaction.js";
import type { Path } from "./path.js";

type SortKey<T> = Path<T> | `-${Path<T>}`;

/** `"-createdAt"`, `["-createdAt", "name"]` or `{ createdAt: -1 }`; `-` is from large to small. */
export type Sort<T> = SortKey<T> | readonly SortKey<T>[] | { [P in Path<T>]?: 1 | -1 };

/** What every call takes. */
export interface CallOptions {
  /** The transaction to run in. */
  tx?: Transaction | undefined;
}

/** Which rows, in which order. */
export interface FindOptions<T> extends CallOptions {
  sort?: Sort<T> | undefined;
  limit?: number | undefined;
  skip?: number | undefined;
  /** Whether soft-deleted rows are seen too. */
  deleted?: boolean | undefined;
  /** Only rows that have every word of this text; the best first unless there is a sort. */
  search?: string | undefined;
}

/** {@link FindOptions}, and which fields of them. */
export interface SelectOptions<T, K extends keyof T, I extends string = string> extends FindOptions<T> {
  /** Only these fields. */
  fields?: readonly K[] | undefined;
  /** Relations whose rows are loaded too, one statement each (two for many-to-many): `["author", "author.company"]`. */
  include?: readonly I[] | undefined;
}

/** What groups are made by: a path, or a part of a moment in UTC. */
export type GroupKey<T> =
  | Path<T>
  | {
      [K in
        | "$year"
        | "$month"
        | "$dayOfMonth"
        | "$dayOfYear"
        | "$dayOfWeek"
        | "$hour"
        | "$minute"
        | "$second"
        | "$date"]?: Path<T>;
    };

/** What is computed of the rows of a group: `$count` of the rows (`true`) or of a path's values, and the others of a path. */
export type Measure<T> = { $count?: true | Path<T> } & {
  [K in "$countDistinct" | "$sum" | "$avg" | "$min" | "$max" | "$first" | "$last"]?: Path<T>;
};

/** Groups, measures, and which of the results. */
export interface AggregateOptions<T> extends CallOptions {
  /** Names of the result and what they group by; without it there is one row of totals. */
  group?: Readonly<Record<string, GroupKey<T>>> | undefined;
  measures?: Readonly<Record<string, Measure<T>>> | undefined;
  /** A filter of the result, by its names. */
  having?: Readonly<Record<string, unknown>> | undefined;
  /** The order of the result, by its names; that of the groups unless told. */
  sort?: readonly string[] | undefined;
  limit?: number | undefined;
  skip?: number | undefined;
  /** The order of the rows that `$first` and `$last` look at. */
  order?: Sort<T> | undefined;
  /** Whether soft-deleted rows are seen too. */
  deleted?: boolean | undefined;
  /** Only rows that have every word of this text. */
  search?: string | undefined;
}

/** Rows in pages of `limit`, after a cursor. */
export interface PageOptions<T, K extends keyof T, I extends string = string> extends CallOptions {
  sort?: Sort<T> | undefined;
  /** 1 to 1,000; 50 unless told. */
  limit?: number | undefined;
  /** The `next` of the page before. */
  after?: string | null | undefined;
  fields?: readonly K[] | undefined;
  /** Relations whose rows are loaded too. */
  include?: readonly I[] | undefined;
  deleted?: boolean | undefined;
  /** Only rows that have every word of this text; without a sort they come by key, not ranked. */
  search?: string | undefined;
}

/** What `get` and its like take. */
export interface GetOptions<I extends string = string> extends CallOptions {
  /** Relations whose rows are loaded too. */
  include?: readonly I[] | undefined;
}

/** One page. */
export interface Page<R> {
  readonly rows: R[];
  /** The cursor to go on from; null on the last page. */
  readonly next: string | null;
}

/** A change of elements. */
export interface ElementOptions {
  /**
   * Which elements the names in paths such as `visits.$[v].rating` stand for, a filter each: `[{ "v.place": "Rome" }]`.
   */
  arrayFilters?: readonly Readonly<Record<string, unknown>>[] | undefined;
}

/** A write that may check the row's version. */
export interface WriteOptions extends CallOptions {
  /** Refused with `version_conflict` unless the row has this version. */
  expectedVersion?: number | bigint | undefined;
}
