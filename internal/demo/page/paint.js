// beforePaint gives a function that has work done before the next picture, once however often it is called until then. What
// measures or scrolls belongs there: a transaction may bring hundreds of frames, and after each the browser would have to lay
// out the page for nobody to see.
export function beforePaint(work) {
  let due = 0;
  return () => {
    due ||= requestAnimationFrame(() => {
      due = 0;
      work();
    });
  };
}
