// How the workbench is built. `crates/ui` runs this inside cargo's output directory and embeds what comes out.
import { readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { gzipSync } from 'node:zlib'
import { defineConfig, type Plugin } from 'vite'

/** Compresses once what would otherwise be compressed per request; what gains nothing stays as it is. */
function compressed(): Plugin {
  let out = ''
  return {
    name: 'compressed',
    apply: 'build',
    configResolved: config => { out = config.build.outDir },
    closeBundle() {
      for (const entry of readdirSync(out, { recursive: true, withFileTypes: true })) {
        if (!entry.isFile() || entry.name.endsWith('.gz')) continue
        const path = join(entry.parentPath, entry.name)
        const plain = readFileSync(path)
        const small = gzipSync(plain, { level: 9 })
        if (small.length < plain.length * 0.9) writeFileSync(`${path}.gz`, small)
      }
    },
  }
}

// `FREEZEFRAME=http://127.0.0.1:7070 npm run dev` works on the page against a running daemon.
const daemon = process.env['FREEZEFRAME']

export default defineConfig({
  // Deep links such as /i/INC-42 must find their scripts.
  base: '/',
  build: {
    outDir: process.env['FREEZEFRAME_UI_OUT'] ?? 'dist',
    emptyOutDir: true,
    target: 'es2024',
    // The polyfill and data URLs would need exceptions in the content security policy.
    modulePreload: { polyfill: false },
    assetsInlineLimit: 0,
  },
  plugins: [compressed()],
  server: daemon === undefined ? {} : { proxy: { '/api': { target: daemon, changeOrigin: false } } },
  test: { include: ['src/**/*.test.ts'], environment: 'node' },
} as Parameters<typeof defineConfig>[0])
