"""Guard a web page or API: login, Host and Origin, safe headers; for any kind of server."""
