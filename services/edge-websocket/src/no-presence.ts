import { PushfleetError } from '@pushfleet/core';
import type { SessionsOptions } from './sessions.ts';

const refuse = async (): Promise<never> => {
  throw new PushfleetError('unavailable', 'This fleet has no presence.');
};

export const noPresence: SessionsOptions['presence'] = {
  ...{ enter: refuse, update: refuse, leave: refuse, list: refuse },
  leaveAll: () => {},
};
