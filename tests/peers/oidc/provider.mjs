// A real OpenID Connect provider: node provider.mjs PORT. Access tokens are JWTs signed with RS256 for
// `urn:armspan`, or for whatever else is asked for.
import Provider from "oidc-provider";

const port = Number(process.argv[2]);
const scope = "armspan:ingest armspan:read armspan:admin admin";
const client = (client_id, allowed) => ({
  client_id,
  client_secret: "secret-of-the-proof",
  grant_types: ["client_credentials"],
  redirect_uris: [],
  response_types: [],
  scope: allowed,
});
const provider = new Provider(`http://127.0.0.1:${port}`, {
  clients: [client("service", "armspan:ingest"), client("board", "armspan:read admin"), client("team", scope)],
  scopes: scope.split(" "),
  features: {
    clientCredentials: { enabled: true },
    devInteractions: { enabled: false },
    resourceIndicators: {
      enabled: true,
      defaultResource: () => "urn:armspan",
      useGrantedResource: () => true,
      getResourceServerInfo: (_, audience) => ({ scope, audience, accessTokenFormat: "jwt", accessTokenTTL: 600 }),
    },
  },
});
provider.listen(port, "127.0.0.1");
