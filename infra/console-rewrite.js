// Answers every page of the console with its one document, and leads the old address of withdrawals to its page; runs at CloudFront.
// Its runtime documents neither destructuring nor for-of nor flatMap.
// biome-ignore lint/correctness/noUnusedVariables: CloudFront calls it
function handler(event) {
  const request = event.request;
  if (request.uri === '/finance/withdrawals') return redirect(`/console${request.uri}`, request.querystring);
  if (/^\/console(\/|$)/.test(request.uri) && !/\.[^/]*$/.test(request.uri))
    request.uri = '/console/index.html';
  return request;
}

/** @param querystring as CloudFront hands it over: by name, still encoded, and of a repeated name all values. */
function redirect(path, querystring) {
  const query = [];
  for (const name in querystring) {
    const values = querystring[name].multiValue || [querystring[name]];
    for (let i = 0; i < values.length; i++) {
      query.push(values[i].value ? `${name}=${values[i].value}` : name);
    }
  }
  const location = query.length > 0 ? `${path}?${query.join('&')}` : path;
  return { statusCode: 302, statusDescription: 'Found', headers: { location: { value: location } } };
}
