// The name that the server has given this page, for the editor, which may be there before it or after it.
const tell = () => {
  window.listener = props.value?.listener;
  window.studio?.arrive();
};
watch("value", tell);
tell();
