import { FileList } from './file-list.js';
import { ImageFolder } from './image-folder.js';
import { LabelledSource } from './labelled-source.js';
import type { ImageSource, SharedSource } from './source.js';

/** The source that another thread shared. */
export function openSource(shared: SharedSource): ImageSource {
  switch (shared.kind) {
    case 'folder':
      return new ImageFolder(shared);
    case 'files':
      return new FileList(shared.paths);
    case 'labels':
      return new LabelledSource(openSource(shared.source), shared.classNames, shared.labels);
  }
}
