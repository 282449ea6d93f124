import { isAlias, isMap, isScalar, isSeq, Lexer, LineCounter, type Node, parseDocument, visit } from "yaml";

/** What is wrong in a file, and where. Lines count from 1. */
export interface Problem {
  readonly line: number;
  readonly message: string;
}

/** Where a value stands: the keys and indexes that lead to it. */
export type KeyPath = readonly (string | number)[];

/** A YAML text that could be read. */
export interface YamlText {
  readonly value: unknown;
  /** The line of the key that ends `path`, or of the nearest one above it that is in the text. */
  lineOf(path: KeyPath): number;
}

/** Aliases may multiply what is read by so much: enough for defaults shared by all entries, no bomb. */
const maxAliasCount = 100;

/** Keys that mean something to JavaScript's own objects. */
const reserved: readonly unknown[] = ["__proto__", "prototype", "constructor"];

/** So deep no file of ours is; the reader of the package takes seconds for a text that is nothing but brackets. */
const maxDepth = 40;

/** Reads YAML 1.2 (and so JSON), one document, keys only text, `<<` merges. Whatever is odd is a problem, not a guess. */
export function readYaml(text: string): YamlText | readonly Problem[] {
  const deep = tooDeep(text);
  if (deep !== undefined) return [{ line: deep, message: `is nested deeper than ${maxDepth} levels.` }];
  const lines = new LineCounter();
  const document = parseDocument(text, {
    lineCounter: lines,
    merge: true,
    prettyErrors: false,
    stringKeys: true,
    logLevel: "error",
  });
  const at = (offset: number): number => Math.max(1, lines.linePos(offset).line);
  const problems: Problem[] = [...document.errors, ...document.warnings].map(({ pos, message }) => ({
    line: at(pos[0]),
    message,
  }));
  visit(document, {
    Pair(_, { key }) {
      if (!isScalar(key) || !reserved.includes(key.value)) return;
      problems.push({ line: at(key.range?.[0] ?? 0), message: `'${key.value}' can't be a key here` });
    },
  });
  if (problems.length > 0) return problems;
  let value: unknown;
  try {
    value = document.toJS({ maxAliasCount });
  } catch (error) {
    // Aliases that lead nowhere, or to too much: only now are they followed.
    return [{ line: 1, message: error instanceof Error ? error.message : String(error) }];
  }
  const resolved = (node: unknown): unknown => (isAlias(node) ? node.resolve(document) : node);
  return {
    value,
    lineOf(path) {
      let node: unknown = document.contents;
      let offset = isNode(node) ? (node.range?.[0] ?? 0) : 0;
      for (const step of path) {
        const within = resolved(node);
        if (isMap(within)) {
          const pair = within.items.find(({ key }) => isScalar(key) && String(key.value) === String(step));
          if (pair === undefined) break;
          if (isNode(pair.key)) offset = pair.key.range?.[0] ?? offset;
          node = pair.value;
        } else if (isSeq(within)) {
          node = within.items[Number(step)];
          if (!isNode(node)) break;
          offset = node.range?.[0] ?? offset;
        } else break;
      }
      return at(offset);
    },
  };
}

/** The line where more brackets are open, or more marks of nesting stand in a row, than any file needs. */
function tooDeep(text: string): number | undefined {
  let line = 1;
  let brackets = 0;
  let marks = 0;
  for (const lexeme of new Lexer().lex(text)) {
    if (lexeme === "[" || lexeme === "{") brackets++;
    else if (lexeme === "]" || lexeme === "}") brackets = Math.max(0, brackets - 1);
    else if (brackets === 0 && /^[-?:]$/.test(lexeme)) marks++;
    if (brackets > maxDepth || marks > maxDepth) return line;
    if (!lexeme.includes("\n")) continue;
    line += lexeme.split("\n").length - 1;
    marks = 0;
  }
  return undefined;
}

function isNode(value: unknown): value is Node {
  return isAlias(value) || isMap(value) || isScalar(value) || isSeq(value);
}
