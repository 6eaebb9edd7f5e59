# Written by cbuild: what the outside world answered. Commit it; `cbuild update` asks again.

pins "//:packages" {
  file   = "packages.ndjson"
  digest = "b3:b04559ab1349812e922ba718d20010bf0bfd6a3580ee5662dcfa393b9faa53f5"
  count  = 174
}

pins "//:programs" {
  answers = {
    "npm:@esbuild/linux-x64@0.17.0" = "[{\"items\":[{\"key\":\"@esbuild/linux-x64@0.17.0\",\"value\":{\"deprecated\":null,\"integrity\":\"sha512-o7FhBLONk1mLT2ytlj/j/WuJcPdhWcVpysSJn1s9+zRdLwLKveipbPi5SIasJIqMq0T4CkQW76pxJYMqz9HrQA==\",\"name\":\"@esbuild/linux-x64\",\"time\":null,\"url\":\"npm:@esbuild/linux-x64@0.17.0.tgz\",\"version\":\"0.17.0\"}}],\"request\":\"npm:@esbuild/linux-x64@0.17.0\"}]"
    "npm:@esbuild/linux-x64@0.25.0" = "[{\"items\":[{\"key\":\"@esbuild/linux-x64@0.25.0\",\"value\":{\"deprecated\":null,\"integrity\":\"sha512-9yl91rHw/cpwMCNytUDxwj2XjFpxML0y9HAOH9pNVQDpQrBxHy01Dx+vaMu0N1CKa/RzBD2hB4u//nfc+Sd3Cw==\",\"name\":\"@esbuild/linux-x64\",\"time\":null,\"url\":\"npm:@esbuild/linux-x64@0.25.0.tgz\",\"version\":\"0.25.0\"}}],\"request\":\"npm:@esbuild/linux-x64@0.25.0\"}]"
    "npm:@esbuild/linux-x64@0.28.2" = "[{\"items\":[{\"key\":\"@esbuild/linux-x64@0.28.2\",\"value\":{\"deprecated\":null,\"integrity\":\"sha512-4xTZr1FUmSoQW4XIWmit3tzQrUTZM+N3P0XV8xROKYF50XfI7xeO90+1bZvNwxIufQ9hDQVRJH5YhgPVF8A/HQ==\",\"name\":\"@esbuild/linux-x64\",\"time\":null,\"url\":\"npm:@esbuild/linux-x64@0.28.2.tgz\",\"version\":\"0.28.2\"}}],\"request\":\"npm:@esbuild/linux-x64@0.28.2\"}]"
  }
}
