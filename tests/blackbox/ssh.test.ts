import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { createHash, randomBytes } from "node:crypto";
import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { agentCommand } from "./programs/agent.ts";
import { absent } from "./programs/installed.ts";
import type { Program } from "./programs/program.ts";
import { type Relay, startRelay } from "./programs/relay.ts";
import { startAgentOf } from "./programs/tcp-tunnel.ts";
import { Netcat } from "./real/netcat.ts";
import { digest, plantTree, sameTree } from "./real/files.ts";
import { Sshd } from "./real/sshd.ts";

const testLimitMs = 60_000;
const missing = absent("sshd", "ssh", "ssh-keygen", "scp", "rsync", "diff");
