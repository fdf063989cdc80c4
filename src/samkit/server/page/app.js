// The page: what is annotated on it depends on the project that the server has.

import { call } from "./api.js";
import { Photos } from "./photos.js";
import { fail, startTheme } from "./ui.js";
import { Video } from "./video.js";

const PAGES = { photographs: Photos, video: Video };

startTheme();
try {
  const project = await call("GET", "");
  document.title = `samkit · ${project.model}`;
  document.body.dataset.kind = project.kind;
  await new PAGES[project.kind](project).begin();
} catch (error) {
  fail(error);
}
