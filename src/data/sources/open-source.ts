import { ImageFolder } from './image-folder.js';
import type { ImageSource, SharedSource } from './source.js';

/** The source that another thread shared. */
export function openSource(shared: SharedSource): ImageSource {
  switch (shared.kind) {
    case 'folder':
      return new ImageFolder(shared);
  }
}
