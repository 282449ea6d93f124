import type { PipeHandler } from "../pipe.ts";

/** Stands at an end until somebody has set its handler. */
export const deafPipeHandler: PipeHandler = { data() {}, drained() {}, ended() {}, aborted() {} };
