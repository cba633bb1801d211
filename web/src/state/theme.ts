// Dark, light, or as the system is set.

import { effect, signal } from '@preact/signals'
import { recall, remember } from './memory'

export type Theme = 'system' | 'dark' | 'light'
export const theme = signal<Theme>((['dark', 'light'] as const).find(known => known === recall('theme')) ?? 'system')

effect(() => {
  if (theme.value === 'system') delete document.documentElement.dataset['theme']
  else document.documentElement.dataset['theme'] = theme.value
  remember('theme', theme.value)
})

export function nextTheme(): void {
  const dark = matchMedia('(prefers-color-scheme: dark)').matches
  const order: Theme[] = dark ? ['system', 'light', 'dark'] : ['system', 'dark', 'light']
  theme.value = order[(order.indexOf(theme.value) + 1) % order.length]!
}
