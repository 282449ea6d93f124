// The relay as one binary (scripts/build-relay.ts): relay.ts picks its sockets when it runs, which a bundler can't follow.
import process from "node:process";
import * as sockets from "../../shared/runtimes/bun-sockets.ts";
import { runRelay } from "./program.ts";

process.exitCode = await runRelay(sockets);
