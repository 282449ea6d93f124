/** What is known of the request, for the wording. All of it may come from a visitor and is escaped. */
export interface AnswerContext {
  /** The request's Accept, as it came. */
  readonly accept?: string | undefined;
  /** The request's Host. */
  readonly host?: string | undefined;
  /** The tunnel's name. */
  readonly name?: string | undefined;
  /** What happened in this very case, instead of the code's general meaning. */
  readonly detail?: string | undefined;
  /** For 503 and 429; 5 when absent. */
  readonly retryAfterSeconds?: number | undefined;
}
