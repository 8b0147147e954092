import type {
  AcquireSessionRequest,
  AcquireSessionResponse,
  SessionServiceServer,
} from '@pushfleet/proto/pushfleet/registry/v1/sessions';
import type { Log } from '@pushfleet/runtime';
import type { SessionRegister } from '../sessions/register.ts';
import { unary } from './unary.ts';

export function sessionService(sessions: SessionRegister, log: Log): SessionServiceServer {
  return {
    acquireSession: (call, callback) =>
      unary<AcquireSessionRequest, AcquireSessionResponse>(log, (request) =>
        sessions.acquire(request, () => !call.cancelled),
      )(call, callback),
    updateSession: unary(log, async (request) => ({ session: await sessions.update(request) })),
    commitSessions: unary(log, async ({ commits }) => ({
      results: (await sessions.commit(commits)).map((outcome) => ({ outcome })),
    })),
    releaseSession: unary(log, async (request) => ({ expiresAt: await sessions.release(request) })),
    endSession: unary(log, async (request) => {
      await sessions.end(request);
      return {};
    }),
    getSession: unary(log, async ({ key }) => ({ session: await sessions.get(key) })),
    listSessions: unary(log, (request) => sessions.list(request)),
  };
}
