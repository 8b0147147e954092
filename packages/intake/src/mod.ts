export { Budget } from './budget.ts';
export { createIntake } from './create.ts';
export { intakeFields } from './fields.ts';
export { newId } from './id.ts';
export { checkBatch, Intake, requirePublish, type Submission } from './intake.ts';
export type { Meters } from './meters.ts';
export { type Publish, Publishing } from './publishing.ts';
