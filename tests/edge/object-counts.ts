/** What an object has been asked, and what it has done, since the program began, through all its lives: what Cloudflare bills by. */
export interface ObjectCounts {
  /** Of the Worker in front, for all objects. */
  readonly workerRequests: number;
  /** How often the objects of owners were asked, by all: each is one billed request. */
  readonly ownerCalls: number;
  /** How often it began. */
  readonly constructed: number;
  /** Requests, and calls of its methods by the Worker: each is one billed request. */
  readonly fetches: number;
  readonly calls: number;
  /** Those of the requests with which an agent dials. */
  readonly dials: number;
  /** That came by WebSocket: twenty are one billed request. Those that the platform answers by itself don't get here. */
  readonly messages: number;
  readonly messageBytes: number;
  readonly alarms: number;
  /** Of its storage. */
  readonly rowsRead: number;
  readonly rowsWritten: number;
  /** By WebSocket, of all objects, which costs nothing. */
  readonly sent: number;
  readonly sentBytes: number;
  /** For how long it had something under way. */
  readonly busyMs: number;
  /** Nothing is under way. */
  readonly resting: boolean;
}
