import { PushfleetError } from '@pushfleet/core';
import type { BayeuxOptions } from './mod.ts';

const refuse = async (): Promise<never> => {
  throw new PushfleetError('unavailable', 'This fleet has no presence.');
};

export const noPresence: BayeuxOptions['presence'] = {
  ...{ enter: refuse, update: refuse, leave: refuse, list: refuse },
  leaveAll: () => {},
};
