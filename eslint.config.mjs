// Biome formats and lints; the one rule it cannot check without types is checked here.
import tseslint from 'typescript-eslint';

export default [
  { ignores: ['**/node_modules/', '.pushfleet/', 'proto/gen/'] },
  {
    files: ['**/*.ts'],
    languageOptions: {
      parser: tseslint.parser,
      parserOptions: { project: ['./tsconfig.json', './packages/cli/src/launcher/page/tsconfig.json'] },
    },
    plugins: { '@typescript-eslint': tseslint.plugin },
    rules: {
      '@typescript-eslint/no-floating-promises': [
        'error',
        // The runner itself waits for what these return.
        {
          allowForKnownSafeCalls: [
            { from: 'package', package: 'node:test', name: ['it', 'describe', 'test', 'suite'] },
          ],
        },
      ],
    },
  },
];
