import { UnderpassError } from "../../shared/errors.ts";
import type { Dial } from "../../shared/socket.ts";
import { type ConnectDeps, connectDial } from "./connect-dial.ts";
import { chooseProxy, type Environment } from "./proxy-environment.ts";

/**
 * Dials as the environment wants it: through the proxy that it names for a target, or straight. For the agent's dials to its
 * relay only; an origin is next to the agent. Where a variable can't be used, `failed` says so; `chooseProxy` tells it beforehand.
 */
export function dialThroughProxy(deps: ConnectDeps, environment: Environment): Dial {
  return (target, timeoutMs, handler) => {
    const { host, port, tls } = target;
    if (host === undefined || port === undefined) return deps.dial(target, timeoutMs, handler);
    try {
      const proxy = chooseProxy({ host, port, secure: tls !== undefined }, environment);
      const dial = proxy === undefined ? deps.dial : connectDial(deps, proxy);
      return dial(target, timeoutMs, handler);
    } catch (error) {
      if (!(error instanceof UnderpassError)) throw error;
      const { message } = error;
      return deps.clock.at(deps.clock.now(), () => handler.failed("failed", message));
    }
  };
}
