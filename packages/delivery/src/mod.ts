export * from './attempt.ts';
export * from './control.ts';
export * from './courier.ts';
