import { type JsonSchema, toJsonSchema } from "@valibot/to-json-schema";
import { configSchema } from "../agent/config/schema.ts";

/** What a parser does in the agent; a pattern beside it says the same as far as a pattern can. */
const agentOnly = ["check", "raw_check", "transform"];

/** What docs/underpass.schema.json holds. */
export function configJsonSchema(): JsonSchema {
  const { $schema, title, ...schema } = toJsonSchema(configSchema, {
    ignoreActions: agentOnly,
    // A mapping begins as `unknown`, to be told from a list.
    errorMode: "ignore",
    overrideSchema({ valibotSchema, jsonSchema }) {
      return valibotSchema.type === "loose_object" ? closed(jsonSchema) : undefined;
    },
  });
  return { ...($schema && { $schema }), ...(title && { title }), ...schema };
}

/** The agent refuses other keys by itself, to say which one was meant. */
function closed(schema: JsonSchema): JsonSchema {
  const { required, ...rest } = schema;
  return {
    ...rest,
    additionalProperties: false,
    ...(required !== undefined && required.length > 0 && { required }),
  };
}
