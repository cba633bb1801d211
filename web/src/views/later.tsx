// Views that are not needed for the first look at an incident come when they are asked for.

import { signal } from '@preact/signals'
import type { ComponentType } from 'preact'

const fleet = signal<ComponentType | undefined>(undefined)
const failed = signal(false)

export function FleetLink() {
  if (fleet.value === undefined) {
    if (!failed.value) import('./fleet').then(module => (fleet.value = module.FleetPage), () => (failed.value = true))
    return <main id="content"><p class="pending" role="status">{failed.value ? 'The view cannot be loaded: was the daemon replaced by another version? Load the page anew.' : 'Reading the fleet …'}</p></main>
  }
  const View = fleet.value
  return <View />
}
