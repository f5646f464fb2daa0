import { build } from 'esbuild';

await build({
  entryPoints: ['src/main.ts', 'src/keys.ts'],
  outdir: 'out/esbuild',
  outExtension: { '.js': '.mjs' },
  bundle: true,
  minify: true,
  platform: 'node',
  target: 'node20',
  format: 'esm',
  // Packages of CommonJS use `require`, which an ES module does not have.
  banner: { js: "import { createRequire } from 'node:module';const require=createRequire(import.meta.url);" },
  // Optional packages of Nest and pg, which this application does not have.
  external: ['@nestjs/microservices', '@nestjs/websockets', 'pg-native'],
});
