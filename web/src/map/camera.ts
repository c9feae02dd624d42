// From the map's plane to the screen and back.

export interface Camera {
  /** What is in the middle of the screen. */
  x: number;
  y: number;
  /** Pixels for one unit. */
  zoom: number;
}

export interface Size {
  width: number;
  height: number;
}

export const MIN_ZOOM = 0.02;
export const MAX_ZOOM = 3;

export function toScreen(camera: Camera, size: Size, x: number, y: number): [number, number] {
  return [(x - camera.x) * camera.zoom + size.width / 2, (y - camera.y) * camera.zoom + size.height / 2];
}

export function toPlane(camera: Camera, size: Size, x: number, y: number): [number, number] {
  return [(x - size.width / 2) / camera.zoom + camera.x, (y - size.height / 2) / camera.zoom + camera.y];
}

/** All of a picture in sight; small ones are not blown up. */
export function fitted(content: Size, size: Size): Camera {
  const margin = 28;
  const across = (size.width - 2 * margin) / Math.max(1, content.width);
  const down = (size.height - 2 * margin) / Math.max(1, content.height);
  const zoom = Math.max(MIN_ZOOM, Math.min(1.15, across, down));
  return { x: content.width / 2, y: content.height / 2, zoom };
}

/** Closer by a factor, with the point below the pointer where it is. */
export function zoomed(camera: Camera, size: Size, factor: number, x: number, y: number): Camera {
  const zoom = Math.max(MIN_ZOOM, Math.min(MAX_ZOOM, camera.zoom * factor));
  const [planeX, planeY] = toPlane(camera, size, x, y);
  return {
    x: planeX - (x - size.width / 2) / zoom,
    y: planeY - (y - size.height / 2) / zoom,
    zoom,
  };
}

/** Moved as little as possible so that a box is in sight. */
export function shown(camera: Camera, size: Size, box: { x: number; y: number } & Size): Camera {
  const zoom = Math.max(camera.zoom, 0.5);
  const half = { x: size.width / 2 / zoom - 40 / zoom, y: size.height / 2 / zoom - 40 / zoom };
  const clamp = (value: number, least: number, most: number) =>
    least > most ? (least + most) / 2 : Math.max(least, Math.min(most, value));
  return {
    x: clamp(camera.x, box.x + box.width - half.x, box.x + half.x),
    y: clamp(camera.y, box.y + box.height - half.y, box.y + half.y),
    zoom,
  };
}
