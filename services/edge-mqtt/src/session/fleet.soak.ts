// The simulation of fleet.sim.test.ts with many more seeds.
process.env.PUSHFLEET_SEEDS ??= '5000';
await import('./fleet.sim.test.ts');
