import * as v from "valibot";
import { UnderpassError } from "../../shared/errors.ts";
import { suggestion } from "./suggestion.ts";

/**
 * Building blocks of the schema of underpass.yaml. Each complains in one line without the key, which is put before it.
 * `v.metadata` holds what only the published JSON Schema can use: there, a pattern stands for what a parser does here.
 */

/** What `parse` takes: it throws UnderpassError for the rest. The value stays as it was given. */
export const parsable = <T>(parse: (value: T) => unknown) =>
  v.rawCheck<T>(({ dataset, addIssue }) => {
    if (!dataset.typed) return;
    try {
      parse(dataset.value);
    } catch (error) {
      if (!(error instanceof UnderpassError)) throw error;
      addIssue({ message: error.message });
    }
  });

export const text = (message: string, pattern: string) =>
  v.pipe(v.string(message), v.maxLength(maxTextChars, "is too long."), v.metadata({ pattern }));

/** No value of the file is longer: URLs, paths, patterns. */
export const maxTextChars = 1_024;

export const whole = (low: number, high: number) => {
  const message = `give a whole number from ${low} to ${high}.`;
  return v.pipe(v.number(message), v.integer(message), v.minValue(low, message), v.maxValue(high, message));
};

export const flag = v.boolean("give true or false.");

/** Keys and values of which all are known. `rules` sees what was given, and complains of what only shows in the whole. */
export const closed = <const E extends v.ObjectEntries>(
  entries: E,
  rules: (given: Given, complain: (message: string, key?: string) => void) => void = () => {},
) =>
  v.pipe(
    v.unknown(),
    v.check(isMapping, mappingMessage),
    v.looseObject(entries, "is missing."),
    v.rawCheck(({ dataset, addIssue }) => {
      // Not `typed`, as one wrong value must not hide that another key is unknown: a mapping it is in any case.
      const given = dataset.value as Given;
      const complain = (message: string, key?: string): void =>
        addIssue({ message, ...(key !== undefined && { path: [place(given, key)] }) });
      rules(given, complain);
      const known = Object.keys(entries);
      for (const key of Object.keys(given)) {
        if (!known.includes(key)) complain(unknownKey(key, known), key);
      }
    }),
  );

/** A mapping from names of the file's own choice. */
export const named = <const V extends v.GenericSchema>(
  value: V,
  checkKey: (key: string) => void,
  options: { readonly pattern: string; readonly max: number },
) =>
  v.pipe(
    v.unknown(),
    v.check(isMapping, mappingMessage),
    v.record(v.pipe(v.string(), parsable(checkKey), v.metadata({ pattern: options.pattern })), value),
    v.maxEntries(options.max, `has more than ${options.max} entries.`),
  );

export type Given = Readonly<Record<string, unknown>>;

const mappingMessage = "give keys with values, each on a line of its own.";

function isMapping(value: unknown): value is Given {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function unknownKey(key: string, known: readonly string[]): string {
  const meant = suggestion(key, known);
  return meant === undefined
    ? `unknown key; there are ${known.join(", ")}.`
    : `unknown key; did you mean '${meant}'?`;
}

function place(input: Given, key: string): v.ObjectPathItem {
  return { type: "object", origin: "key", input: { ...input }, key, value: input[key] };
}
