// Where the page begins. What the address asks for is read before anything is drawn.

import { render } from 'preact'
import './styles/index.css'
import { signedOut } from './api/client'
import { listenToKeys } from './keys/keyboard'
import { followAddress, route } from './model/route'
import { incident } from './state/incident'
import { readSession } from './state/session'
import './state/theme'
import { Shell } from './views/shell'

followAddress()
const at = route.peek()
if (at.view === 'incident') incident(at.id).overview.want()
if (at.view !== 'login') void readSession()
listenToKeys()
render(<Shell />, document.getElementById('page')!)

// Another tab signed in or out: this one asks again when it is looked at.
document.addEventListener('visibilitychange', () => {
  if (document.hidden || !signedOut.peek()) return
  void readSession()
})
