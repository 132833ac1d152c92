// The API's description, drawn by Swagger UI, which the server passes on.
window.SwaggerUIBundle({ url: "api/openapi.json", dom_id: "#docs", tryItOutEnabled: true });
