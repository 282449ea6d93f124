#!/usr/bin/env bun
import { runProgram } from "./agent/runtimes/bun-program.ts";

process.exit(await runProgram());
